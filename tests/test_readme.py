"""What the README shows is what happens: its blocks run from top to bottom, where a reader would type them."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from browser import served
from samekind.bundle import shipped

README = Path(__file__).parent.parent / "README.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_HERE = ("make", "pip", "git", "cd", "python")
"""Commands of the README that set up a machine."""

needs_model = pytest.mark.skipif("omniglot" not in shipped(), reason="the bundle omniglot is not in this checkout")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in their order."""
    return [text for kind, text in FENCED.findall(README.read_text(encoding="utf-8")) if kind == language]


def commands() -> list[list[str]]:
    """The command lines of all shell blocks, split as a shell does, without comments."""
    lines = "".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [split for line in lines if (split := shlex.split(line.removeprefix("$ "), comments=True))]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reader who has typed the first Python block, which draws the images that the others name."""
    path = tmp_path_factory.mktemp("desk")
    first = blocks("python")[0]
    subprocess.run([sys.executable, "-c", first], cwd=path, check=True)
    return path


def test_the_readme_shows_python_and_commands() -> None:
    assert len(blocks("python")) >= 2
    assert {command[0] for command in commands()} - set(NOT_HERE) == {"samekind"}
    assert {command[1] for command in commands() if command[0] == "samekind"} >= {"verify", "train", "evaluate"}


@needs_model
def test_the_python_blocks_print_what_they_say(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk)
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks("python")[1:], start=2):
        exec(compile(block, f"README.md, python block {number}", "exec"), namespace)
        said = [line.rpartition("# ")[2] for line in block.splitlines() if line.startswith("print(")]
        assert capsys.readouterr().out.splitlines() == said


@needs_model
@pytest.mark.slow
def test_the_commands_run(desk: Path) -> None:
    for command in commands():
        needs_data = "evaluate" in command or "reproduce" in command or "omniglot:background" in command
        if command[0] != "samekind" or (needs_data and "SAMEKIND_DATA" not in os.environ):
            continue
        if "certified" in command and "verify" in command and not (desk / "certified").exists():
            continue  # it was calibrated on data that is not here
        if command[1] == "serve":
            with served(desk, *command[2:]) as address:
                assert "samekind" in httpx.get(address).text
            continue
        arguments = [*command[1:]]
        if "--minutes" in arguments:  # a reader has the time to wait
            arguments[arguments.index("--minutes") + 1] = "0.05"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "samekind", *arguments],
            cwd=desk,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        allowed = (0, 1, 3) if arguments[0] == "verify" else (0,)
        assert done.returncode in allowed, f"{shlex.join(command)}: {done.stderr}"
