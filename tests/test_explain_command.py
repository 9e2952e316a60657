"""`samekind explain` as a user meets it."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from samekind.commands.explain import explain
from samekind.data.glyphs import glyphs
from samekind.errors import InputError, MissingDataError
from samekind.verifier import Verifier

app = typer.Typer()
app.command()(explain)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("explain") / "characters"
    glyphs(4, 3, seed=9).save(path)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)], catch_exceptions=False)


def drawings(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.png"))


def test_it_prints_one_object_and_writes_the_page(folder: Path, tmp_path: Path) -> None:
    query, reference, out = *drawings(folder)[:2], tmp_path / "page.html"
    ran = run(query, reference, "--out", out, "--among", folder, "--json")
    assert ran.exit_code == 0
    assert ran.stdout.count("\n") == 1
    content: dict[str, Any] = json.loads(ran.stdout)
    assert set(content) == {"bundle", "version", "grid", "report", "pairs"}
    assert content["report"] == str(out)
    asked, match, impostor = content["pairs"]
    decision = Verifier.load("omniglot").verify(query, reference)
    assert (asked["score"], asked["same"]) == (decision.score, decision.same)
    assert [pair["truth"] for pair in (asked, match, impostor)] == [None, True, False]
    assert [image["name"] for image in asked["images"]] == [query.name, reference.name]
    for image in asked["images"]:
        assert len(image["map"]) == len(image["map"][0]) == content["grid"]
        assert set(image["test"]) == {"patches", "moved", "by_chance"}
    assert set(asked["matches"][0]) == {"left", "right", "weight"}
    same_class = {path.name for path in drawings(folder) if path.parent == query.parent}
    assert match["images"][1]["name"] in same_class - {query.name}
    assert impostor["images"][1]["name"] not in same_class
    page = out.read_text(encoding="utf-8")
    for heading in ("Query and reference", "Nearest true match", "Nearest impostor"):
        assert f"<h2>{heading}</h2>" in page
    assert query.name in page


def test_the_same_seed_gives_the_same_maps(folder: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [*drawings(folder)[:2], "--out", tmp_path / "page.html", "--json"]
    first, again, other = (run(*command, "--seed", seed) for seed in ("0", "0", "1"))
    assert first.stdout == again.stdout != other.stdout


def test_without_json_it_says_the_score_and_where_the_page_is(folder: Path, tmp_path: Path) -> None:
    ran = run(*drawings(folder)[:2], "--out", tmp_path / "page.html")
    assert ran.stdout.startswith("Query and reference: score ")
    assert ran.stdout.endswith(f"report: {tmp_path / 'page.html'}\n")


def test_the_class_of_a_stranger_is_named(folder: Path, tmp_path: Path) -> None:
    glyphs(4, 4, seed=9).save(tmp_path / "more")  # the same classes, another drawing of each
    stranger = drawings(tmp_path / "more")[3]
    name = str(stranger.parent.relative_to(tmp_path / "more"))
    command = (stranger, drawings(folder)[-1], "--out", tmp_path / "page.html", "--among", folder)
    ran = run(*command, "--class", name, "--json")
    match, impostor = json.loads(ran.stdout)["pairs"][1:]
    assert (folder / name / match["images"][1]["name"]).exists()
    assert not (folder / name / impostor["images"][1]["name"]).exists()


def test_what_is_wrong_is_said_and_leaves_no_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    first, second = drawings(folder)[:2]
    with pytest.raises(InputError, match="--among DATA with --class"):
        run(first, second, "--out", out, "--class", "x")
    with pytest.raises(MissingDataError, match=r"gone\.png"):
        run(first, tmp_path / "gone.png", "--out", out)
    with pytest.raises(MissingDataError, match="nowhere"):
        run(first, second, "--out", out, "--among", tmp_path / "nowhere")
    assert run(first, second).exit_code == 2  # where to?
    assert not list(tmp_path.iterdir())
