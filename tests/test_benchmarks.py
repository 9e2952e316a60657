"""The benchmarks start, count right and write what they should. No test looks at a clock."""

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from samekind.bundle import Bundle
from samekind.recipes import RECIPES

FOLDER = Path(__file__).parent.parent / "benchmarks"
SHARED = {"arithmetic", "results", "run", "service_traffic"}
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in SHARED)


@pytest.fixture(autouse=True)
def beside_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python does for a script: its own folder comes first."""
    monkeypatch.syspath_prepend(FOLDER)


def names_of(script: str) -> dict[str, Any]:
    """What a script defines, without running it."""
    return runpy.run_path(str(FOLDER / f"{script}.py"))


def test_run_knows_every_script() -> None:
    assert sorted(names_of("run")["BENCHMARKS"]) == SCRIPTS


@pytest.mark.parametrize("script", [*SCRIPTS, "run"])
def test_a_script_answers_help(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(FOLDER / f"{script}.py"), run_name="__main__")
    assert ended.value.code == 0
    assert ("--only" if script == "run" else f"{script}.json") in capsys.readouterr().out.replace("\n", "")


def test_run_refuses_an_unknown_name() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "run.py"), "--only", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "cold_start" in done.stderr


def test_the_json_of_cold_start(bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "cold.json"
    script = str(FOLDER / "cold_start.py")
    command = [sys.executable, script, "--rounds", "1", "--model", str(bundle.path), "--out", str(out)]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    content = json.loads(out.read_text())
    assert json.loads(printed) == content
    assert set(content) == {"benchmark", "command", "date", "commit", "machine", "versions", "figures"}
    assert content["benchmark"] == "cold_start"
    assert content["command"] == "python benchmarks/cold_start.py --rounds 1 --model tiny --out cold.json"
    assert {"processor", "cores", "python"} <= set(content["machine"])
    assert {"samekind", "onnxruntime", "torch"} <= set(content["versions"])
    assert str(tmp_path) not in printed
    assert str(bundle.path.parent) not in printed
    figures = content["figures"]
    assert set(figures["seconds"]["samekind verify"]) == {"median", "min", "max", "runs"}
    assert figures["seconds"]["samekind verify"]["runs"] == 1
    expected = figures["seconds"]["samekind verify"]["median"] - figures["seconds"]["import onnxruntime"]["median"]
    assert figures["verify_over_import_onnxruntime"]["difference_of_medians"] == pytest.approx(expected)


def test_cold_start_stops_where_a_process_fails(tmp_path: Path) -> None:
    script, out = str(FOLDER / "cold_start.py"), tmp_path / "cold.json"
    command = [sys.executable, script, "--rounds", "1", "--model", str(tmp_path / "none"), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "exit code 2" in done.stderr
    assert not out.exists()


@pytest.mark.slow
def test_every_request_of_a_load_is_accounted_for(bundle: Bundle, tmp_path: Path) -> None:
    script, out = str(FOLDER / "service_load.py"), tmp_path / "load.json"
    brief = ("--rounds", "1", "--seconds", "1", "--overload", "2", "--times", "6")
    subprocess.run([sys.executable, script, *brief, "--model", str(bundle.path), "--out", str(out)], check=True)
    figures = json.loads(out.read_text())["figures"]
    assert figures["throughput"]["errors"] == 0
    assert figures["throughput"]["served_images_per_second"]["median"] > 0
    overload = figures["overload"]
    answers = overload["answers"]
    assert answers["sent"] == sum(answers["statuses"].values()) + answers["broken"]
    assert answers["sent"] + answers["unsent"] == pytest.approx(2 * overload["asked_per_second"], rel=0.1)
    assert overload["refused"] == answers["statuses"].get("503", 0)  # none where a busy machine sends too slowly
    assert overload["errors"] == 0


def test_candidates_take_turns() -> None:
    calls: list[str] = []
    seconds = names_of("results")["interleaved"](
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2
    )
    assert calls == ["a", "b"] * 3  # the first of each is not timed
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_ratios_are_of_the_same_round() -> None:
    found = names_of("results")["ratio"]([2.0, 9.0, 4.0], [1.0, 3.0, 1.0])
    assert (found.median, found.min, found.max, found.runs) == (3.0, 2.0, 4.0, 3)


def test_the_interval_over_seeds_is_students() -> None:
    values = [0.94, 0.95, 0.97]
    found = names_of("results")["over_seeds"](values)
    assert (found.low, found.high) == pytest.approx(stats.t.interval(0.95, 2, loc=found.mean, scale=stats.sem(values)))
    assert found.mean == pytest.approx(sum(values) / 3)


def test_one_seed_has_no_interval() -> None:
    found = names_of("results")["over_seeds"]([0.94])
    assert (found.mean, found.low, found.high) == (0.94, None, None)


def test_a_model_card_says_what_was_measured_once(tmp_path: Path) -> None:
    names = names_of("bundle_figures")
    estimate = {"value": 0.25, "low": 0.125, "high": 0.5}
    measured = {"koch same-group": {"n_trials": 4584, "metrics": {"accuracy": estimate}}}
    means = {"koch same-group accuracy": names["over_seeds"]([0.25, 0.75])}
    card = tmp_path / "README.md"
    card.write_text("# mine\n\nmy notes\n")
    for command in ("first", "second"):
        names["write_card"](card, names["as_markdown"](measured, means, command))
    text = card.read_text()
    assert text.startswith("# mine\n\nmy notes\n")
    assert text.count("| `koch same-group` | 4,584 | accuracy | 0.2500 (0.1250 to 0.5000) | 0.5000 (") == 1
    assert "`second`" in text
    assert "`first`" not in text
    one = names["as_markdown"](measured, {"koch same-group accuracy": names["over_seeds"]([0.25])}, "alone")
    assert not any("mean of seeds" in line for line in one)


def test_model_flop_are_those_counted_by_hand() -> None:
    kernels = ((32, 1, 32), (16, 32, 64), (8, 64, 128), (4, 128, 96))  # side, channels in, channels out
    multiply_adds = sum(side**2 * inputs * 9 * outputs for side, inputs, outputs in kernels) + 4 * 96 * 64
    assert names_of("training_throughput")["model_flop"](RECIPES["small"]) == 6 * multiply_adds
