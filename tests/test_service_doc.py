"""What docs/service.md shows is what happens: its examples run, in their order, against a service of their own."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from browser import served
from samekind.bundle import shipped
from samekind.cli import app
from samekind.data.glyphs import glyphs
from samekind.service.problems import KINDS

PAGE = Path(__file__).parent.parent / "docs" / "service.md"
TEXT = PAGE.read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"

needs_model = pytest.mark.skipif("omniglot" not in shipped(), reason="the bundle omniglot is not in this checkout")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    """The command lines of all shell blocks, split as a shell does, without comments."""
    lines = "".join(blocks("sh")).splitlines()
    return [split for line in lines if (split := shlex.split(line, comments=True))]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has the README's drawings."""
    path = tmp_path_factory.mktemp("desk")
    drawings = glyphs(classes=6, drawings=4)
    drawings.save(path / "parts")
    drawings[0][0].save(path / "a.png")
    drawings[1][0].save(path / "b.png")
    return path


def test_every_problem_is_explained_where_its_type_points() -> None:
    assert re.findall(r'<a id="problem-([a-z-]+)"></a>`\1`', TEXT) == list(KINDS)
    for name, kind in KINDS.items():
        assert re.search(rf"`{name}` \| {kind.status} \| ", TEXT)


def test_every_option_of_serve_is_named_with_its_default() -> None:
    serve = get_command(app).commands["serve"]  # type: ignore[attr-defined]
    table = TEXT[TEXT.index("| option of `serve`") : TEXT.index("## Operation")]
    for option in serve.params:
        if option.name in ("as_json", "help"):
            continue
        (row,) = [line for line in table.splitlines() if f"`{option.opts[0]}`" in line.split(" | ")[0]]
        if option.default not in (None, False):
            assert str(option.default) in row, row


def test_every_route_is_named() -> None:
    from samekind.service.app import create_app
    from samekind.verifier import Verifier

    document = create_app(Verifier.load("omniglot", threads=1)).openapi()
    for path, methods in document["paths"].items():
        for method in methods:
            row = [line for line in TEXT.splitlines() if line.startswith("| `") and f"{path}`" in line]
            assert row, path
            assert method == "get" or any(f"`{method.upper()} {path}`" in line for line in row), (method, path)


@needs_model
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_lines_of_curl_and_python_are_answered_as_they_say(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lines,) = [block.splitlines() for block in blocks("sh") if "curl" in block]
    assert lines[0] == f"URL={ADDRESS}"
    with served(desk, "--gallery", "service.db") as address:
        url = address.rstrip("/")
        for line in lines[1:]:
            script = f"URL={url}\n{line.replace('curl', 'curl -sS --fail-with-body', 1)}"
            done = subprocess.run(["bash", "-c", script], cwd=desk, capture_output=True, check=False)
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            if "verify" in line:
                assert list(json.loads(done.stdout)) == list(json.loads(blocks("json")[0]))

        (block,) = blocks("python")
        monkeypatch.chdir(desk)
        namespace: dict[str, object] = {}
        exec(compile(block.replace(ADDRESS, url), "docs/service.md", "exec"), namespace)
        namespace["service"].close()  # type: ignore[attr-defined]
    said = [line.rpartition("# ")[2] for line in block.splitlines() if line.startswith("print(")]
    assert capsys.readouterr().out.splitlines() == said


@needs_model
@pytest.mark.slow
def test_the_commands_run(desk: Path) -> None:
    for command in commands():
        if command[0] != "samekind" or command[1] == "serve":
            continue
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=desk,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
