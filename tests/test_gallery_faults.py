"""A gallery outlives processes that are killed, and holds what several write at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from samekind.bundle import Bundle

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gallery_faults.py"


def figures(tmp_path: Path, *options: str) -> dict[str, dict[str, object]]:
    """What the benchmark measures."""
    out = tmp_path / "faults.json"
    command = [sys.executable, str(SCRIPT), *options, "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=300)
    found: dict[str, dict[str, object]] = json.loads(out.read_text(encoding="utf-8"))["figures"]
    return found


@pytest.mark.slow
def test_no_kill_costs_anything_that_was_acknowledged(bundle: Bundle, tmp_path: Path) -> None:
    found = figures(tmp_path, "--rounds", "100", "--seconds", "0", "--model", str(bundle.path))["kills"]
    assert found["faults"] == []
    assert found["rounds"] == 100
    assert isinstance(found["samples_acknowledged"], int)
    assert found["samples_acknowledged"] > 200
    assert isinstance(found["killed_with_a_log_to_recover"], int)
    assert found["killed_with_a_log_to_recover"] > 50


@pytest.mark.slow
def test_two_enroll_and_one_identifies(bundle: Bundle, tmp_path: Path) -> None:
    found = figures(tmp_path, "--rounds", "0", "--seconds", "10", "--model", str(bundle.path))["crowd"]
    assert (found["errors"], found["faults"]) == ([], [])
    assert isinstance(found["samples_acknowledged"], int)
    assert isinstance(found["searches"], int)
    assert found["samples_acknowledged"] > 20
    assert found["searches"] > 10
