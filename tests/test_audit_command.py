"""`samekind audit` and `samekind plan`: what they judge, print and write."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from samekind.bundle import Bundle
from samekind.commands.audit import _unseen, audit
from samekind.commands.plan import plan
from samekind.data.glyphs import glyphs
from samekind.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve classes of eight, one image of the first in the second too."""
    path: Path = tmp_path_factory.mktemp("data") / "letters"
    glyphs(12, 8, seed=21).save(path)
    first, second = sorted(path.rglob("*.png"))[0], sorted(path.rglob("*.png"))[8]
    (second.parent / "copy.png").write_bytes(first.read_bytes())
    return path


def test_the_object_holds_the_planted_copy(folder: Path, bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    audit(str(folder), model=str(bundle.path), most=2, as_json=True)
    printed = capsys.readouterr()
    content = json.loads(printed.out)
    assert printed.out.count("\n") == 1
    assert "taken as never seen" in printed.err
    assert (content["images"], content["classes"]) == (97, 12)
    copies = content["kinds"]["near-duplicate"]
    assert (copies["likely"], copies["listed"]) == (1, 1)
    assert any(name.endswith("copy.png") for side in copies["findings"][0]["sides"] for name in side["images"])
    assert all(len(kind["findings"]) <= 2 for kind in content["kinds"].values())


def test_a_person_reads_counts_and_names(
    folder: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit(str(folder), model=str(bundle.path), out=tmp_path / "page.html")
    printed = capsys.readouterr()
    assert "97 images of 12 classes" in printed.out
    assert "One image in two classes: 1 likely, of 1 listed" in printed.out
    assert "copy.png" in printed.out
    assert "copy.png" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_model_does_not_judge_what_it_was_trained_on(bundle: Bundle) -> None:
    learned = glyphs(60, 8, seed=3).take_classes(np.arange(40))
    with pytest.raises(InputError, match="cannot judge what it saw; leave out --model"):
        _unseen(learned, str(bundle.path))
    with pytest.raises(InputError, match="cannot judge what it saw"):  # nor what is left of it
        _unseen(learned.take(np.arange(300)), str(bundle.path))


def test_a_model_judges_the_classes_held_out_of_its_training(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    learned = glyphs(60, 8, seed=3).take_classes(np.arange(40))
    classes = (*learned.classes[:37], "held out 0", "held out 1", "held out 2")
    judged, view = _unseen(replace(learned, classes=classes), str(bundle.path))
    assert judged.classes == classes[37:]
    assert view.embeddings.shape[0] == len(judged) == 24
    assert "only the 3 of 40 classes" in capsys.readouterr().err


def test_a_model_or_a_training_but_not_both(folder: Path, bundle: Bundle) -> None:
    with pytest.raises(InputError, match="got both"):
        audit(str(folder), model=str(bundle.path), steps=5)


@pytest.mark.slow
def test_without_a_model_three_are_trained(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit(str(folder), steps=20, as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert "three small models" in content["judged_by"]
    assert content["kinds"]["near-duplicate"]["likely"] == 1


def test_a_plan_as_an_object_and_for_a_person(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan(str(folder), target_fmr=0.3, as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert (content["images"], content["classes"], content["fewest"]) == (97, 12, 8)
    assert content["certifiable"] == (content["references"][0]["smallest_fmr"] <= 0.3)
    plan(str(folder))
    read = capsys.readouterr().out
    for sentence in ("97 images of 12 classes, at least 8 of each", "what to collect next:", "more classes"):
        assert sentence in read
