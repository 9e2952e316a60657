"""What a person reads: complaints of one line, ten lines of progress where there is no terminal, and a table."""

import pytest

from samekind.console import complain, print_evaluations, training_progress
from samekind.metrics import Estimate
from samekind.protocols import Evaluation
from samekind.training import Progress


def test_a_complaint_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert complain("expected this,\ngot that", code=7) == 7
    assert capsys.readouterr() == ("", "samekind: expected this, got that\n")


def test_where_there_is_no_terminal_progress_is_ten_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as report:
        for step in range(1, 101):
            report(Progress(steps=step, share=step / 100, loss=0.5, images_per_second=1234.5, seconds=step / 10))
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 10
    assert err.splitlines()[3] == "40%, step 40, loss 0.5000, 1,234 images/s, 6 s left"


def test_figures_stand_in_percent_or_bits_beside_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    metrics = {"accuracy": Estimate(0.95, 0.94, 0.96), "cllr": Estimate(0.25, 0.2, 0.3)}
    print_evaluations([Evaluation("koch", "somewhere", 1234, 0, metrics, "f")])
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1] == ["koch", "accuracy", "95.00%", "94.00%", "to", "96.00%", "1234"]
    assert rows[2][:3] == ["Siamese", "network", "93.42%"]
    assert rows[3] == ["koch", "cllr", "0.250", "0.200", "to", "0.300", "1234"]
