"""`samekind evaluate --card` and `samekind reproduce`: what is run again agrees, or it is said what differs."""

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from samekind.bundle import MANIFEST, Bundle
from samekind.commands.evaluate import evaluate
from samekind.commands.reproduce import reproduce
from samekind.data.folder import load_folder
from samekind.data.glyphs import glyphs
from samekind.errors import InputError

app = typer.Typer()
app.command()(evaluate)
app.command()(reproduce)
COMMON = ("--protocol", "verification", "--trials", "80", "--seed", "3")


def samekind(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def findings(ran: Result) -> dict[str, dict[str, object]]:
    """By field, from --json, which is all of standard output."""
    content = json.loads(ran.stdout)
    assert content["reproduces"] == (ran.exit_code == 0)
    return {finding["field"]: finding for finding in content["findings"]}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("data") / "parts"
    glyphs(8, 5, seed=21).save(folder)
    return folder


@pytest.fixture(scope="module")
def card(bundle: Bundle, parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("cards") / "card.json"
    ran = samekind("evaluate", bundle.path, *COMMON, "--data", parts, "--card", path, "--json")
    assert ran.exit_code == 0, ran
    assert "card written" in ran.stderr
    assert json.loads(ran.stdout)["metrics"] == json.loads(path.read_text())["metrics"]
    return path


def test_an_evaluation_is_reproduced(card: Path) -> None:
    ran = samekind("reproduce", card)
    assert ran.exit_code == 0
    *fields, last = ran.stdout.splitlines()
    assert "trials agrees" in fields
    assert "metrics.eer agrees" in fields
    assert last.startswith(f"reproduced: {len(fields)} fields agree, 0 within the last digits")
    found = findings(samekind("reproduce", card, "--json"))
    assert {finding["verdict"] for finding in found.values()} == {"agrees"}
    assert len(found) == len(fields)


def test_a_baseline_is_reproduced(bundle: Bundle, parts: Path, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    options = ("--protocol", "one-shot", "--ways", "4", "--shots", "2", "--trials", "60", "--data", parts)
    assert samekind("evaluate", "--baseline", "hausdorff", *options, "--card", path).exit_code == 0
    written = json.loads(path.read_text())
    assert written["options"] == {"ways": 4, "shots": 2, "trials": 60, "pairs": None, "impostors": None}
    assert written["model"] == {
        "name": "baseline:hausdorff",
        "fingerprint": None,
        "calibration": None,
        "threshold": None,
    }
    assert samekind("reproduce", path).exit_code == 0
    other = samekind("reproduce", path, "--bundle", bundle.path, "--json")
    assert other.exit_code == 1
    assert findings(other)["model.fingerprint"]["why"] == "another bundle"


def test_other_data_are_named(card: Path, parts: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(parts, moved)
    elsewhere = samekind("reproduce", card, "--data", moved, "--json")
    assert elsewhere.exit_code == 0
    assert findings(elsewhere)["data.source"]["verdict"] == "differs"
    next(moved.rglob("*.png")).unlink()
    ran = samekind("reproduce", card, "--data", moved)
    assert ran.exit_code == 1
    why = "other data: 39 images of 8 classes instead of 40 images of 8 classes"
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("data.fingerprint ")]
    assert line.startswith("data.fingerprint differs: ")
    assert line.endswith(f"({why})")
    assert ran.stdout.splitlines()[-1].startswith("not reproduced: ")


def test_another_calibration_is_named(bundle: Bundle, card: Path, tmp_path: Path) -> None:
    copied = tmp_path / "bundle"
    shutil.copytree(bundle.path, copied)
    manifest = json.loads((copied / MANIFEST).read_text(encoding="utf-8"))
    manifest["calibration"]["intercept"] += 3
    (copied / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    ran = samekind("reproduce", card, "--bundle", copied, "--json")
    assert ran.exit_code == 1
    found = findings(ran)
    assert found["model.fingerprint"]["verdict"] == found["metrics.eer"]["verdict"] == "agrees"
    assert found["metrics.cllr"]["why"] == found["model.calibration"]["why"] == "another calibration"


def test_a_card_that_was_written_over_is_found_out(card: Path, tmp_path: Path) -> None:
    content = json.loads(card.read_text())
    content["metrics"]["eer"]["value"] = 0.0001
    content["tolerance"]["metrics"]["eer"]["value"] = 1.0
    path = tmp_path / "better.json"
    path.write_text(json.dumps(content))
    ran = samekind("reproduce", path)
    assert ran.exit_code == 1
    assert "metrics.eer differs" in ran.stdout
    assert "nothing that a card holds explains it" in ran.stdout


def test_a_bad_card_is_refused_before_anything_is_run(card: Path, tmp_path: Path) -> None:
    content = json.loads(card.read_text())
    del content["seed"]
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(content))
    ran = samekind("reproduce", path)
    assert isinstance(ran.exception, InputError)
    assert "missing key 'seed'" in str(ran.exception)
    assert ran.stdout == ""


def test_the_held_out_classes_of_the_training_data_are_a_split(
    bundle: Bundle, parts: Path, card: Path, tmp_path: Path
) -> None:
    """A bundle that says it was trained on the data, but for four classes."""
    copied = tmp_path / "bundle"
    shutil.copytree(bundle.path, copied)
    manifest = json.loads((copied / MANIFEST).read_text(encoding="utf-8"))
    manifest["provenance"]["data_fingerprint"] = json.loads(card.read_text())["data"]["fingerprint"]
    manifest["provenance"]["held_out_classes"] = load_folder(parts).images.classes[:4]
    (copied / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    path = tmp_path / "card.json"
    assert samekind("evaluate", copied, *COMMON, "--data", parts, "--card", path).exit_code == 0
    data = json.loads(path.read_text())["data"]
    assert (data["split"], data["classes"]) == ("held-out", 4)
    assert samekind("reproduce", path).exit_code == 0
    assert samekind("reproduce", path, "--bundle", bundle.path).exit_code == 1
