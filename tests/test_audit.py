"""What an audit finds of errors planted in labels, judged by embeddings whose truth is known."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.audit import KINDS, MATES, Audit, View, audit
from samekind.data.glyphs import glyphs
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError
from samekind.similarity import FloatArray, cosine, euclidean

CLASSES, EACH = 12, 10
DATA = glyphs(CLASSES, EACH, seed=5)
OF_LABELS = tuple(kind for kind in KINDS if kind != "near-duplicate")


def embeddings_of(labels: NDArray[np.int64], *, seed: int = 0) -> NDArray[np.float32]:
    """Points around one centre a class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(CLASSES, 16))
    return (centres[labels] + 0.3 * rng.normal(size=(len(labels), 16))).astype(np.float32)


def view_of(data: LabelledImages, embeddings: NDArray[np.float32]) -> View:
    return View(embeddings, euclidean, np.ones(len(data.classes), dtype=bool))


def judged(data: LabelledImages, embeddings: NDArray[np.float32]) -> Audit:
    return audit(data, (view_of(data, embeddings),), kinds=OF_LABELS)


TRUE = embeddings_of(DATA.labels)


def test_images_without_errors_give_nothing_likely() -> None:
    found = audit(DATA, (view_of(DATA, TRUE),))
    assert {kind: found.likely(kind) for kind in KINDS} == dict.fromkeys(KINDS, 0)


def test_wrong_labels_come_first_and_the_right_class_is_named() -> None:
    labels = DATA.labels.copy()
    planted = {3: 7, 25: 0, 64: 11, 110: 2}
    for image, label in planted.items():
        labels[image] = label
    found = judged(replace(DATA, labels=labels), TRUE)
    first = found.findings["mislabelled"][: len(planted)]
    assert {finding.sides[0].images[0]: finding.sides[1].label for finding in first} == planted
    assert [finding.sides[2].label for finding in first] == [
        DATA.labels[finding.sides[0].images[0]] for finding in first
    ]
    assert found.likely("mislabelled") == len(planted)
    scores = [finding.score for finding in found.findings["mislabelled"]]
    assert scores == sorted(scores, reverse=True)
    for finding in first:  # the pictures beside it are of the classes that they stand for
        assert finding.sides[0].images[0] not in finding.sides[1].images
        for side in finding.sides:
            assert {labels[image] for image in side.images} == {side.label}


def test_the_score_is_that_of_a_loop() -> None:
    labels = DATA.labels.copy()
    labels[3] = 7
    reached = np.empty((len(DATA), CLASSES))
    for image in range(len(DATA)):
        for label in range(CLASSES):
            mates = [other for other in np.flatnonzero(labels == label) if other != image]
            scores = sorted((float(euclidean(TRUE[image], TRUE[m])) for m in mates), reverse=True)
            reached[image, label] = np.mean(scores[: round(MATES * (labels == label).sum())])
    mine = np.arange(CLASSES) == labels[:, None]
    resembles = (reached - np.median(reached[~mine])) / (np.median(reached[mine]) - np.median(reached[~mine]))
    finding = judged(replace(DATA, labels=labels), TRUE).findings["mislabelled"][0]
    assert finding.sides[0].images == (3,)
    assert finding.score == pytest.approx(np.delete(resembles[3], 7).max() - resembles[3, 7], rel=1e-4)


def test_a_class_in_two_folders_is_one() -> None:
    labels = DATA.labels.copy()
    labels[np.flatnonzero(labels == 4)[::2]] = CLASSES
    data = replace(DATA, labels=labels, classes=(*DATA.classes, "again"), groups=None)
    found = judged(data, TRUE)
    assert [side.label for side in found.findings["one-class"][0].sides] == [4, CLASSES]
    assert found.likely("one-class") == 1


def test_two_classes_in_a_folder_are_two() -> None:
    labels = np.where(DATA.labels == 9, 4, DATA.labels)
    data = replace(DATA, labels=labels)
    kept = np.setdiff1d(np.arange(CLASSES), [9])
    data, rows = data.take_classes(kept), np.arange(len(DATA))
    found = judged(data, TRUE[rows])
    finding = found.findings["two-classes"][0]
    assert found.likely("two-classes") == 1
    truth = {frozenset(np.flatnonzero(DATA.labels == label).tolist()) for label in (4, 9)}
    assert {frozenset(side.images) for side in finding.sides} == truth
    assert [side.role for side in finding.sides] == ["10 of 20", "10 of 20"]
    assert found.likely("mislabelled") == 0  # each image is like a half of its folder


def test_a_few_wrong_labels_make_no_second_class() -> None:
    labels = DATA.labels.copy()
    labels[[3, 4]] = 7  # two of the twelve
    assert judged(replace(DATA, labels=labels), TRUE).likely("two-classes") == 0


def test_what_resembles_nothing_is_an_outlier() -> None:
    embeddings = TRUE.copy()
    embeddings[[17, 90]] = 20 * np.ones(16, dtype=np.float32)
    found = judged(DATA, embeddings)
    assert {finding.sides[0].images[0] for finding in found.findings["outlier"][:2]} == {17, 90}
    assert found.likely("outlier") == 2


def test_copies_in_two_classes_are_found_and_those_in_one_are_not() -> None:
    brighter = np.minimum(255, np.roll(np.asarray(DATA[30][0]), 1, axis=0).astype(np.int64) + 20).astype(np.uint8)
    copies = [(DATA.items[0], 5), (brighter, 8), (DATA.items[50], int(DATA.labels[50]))]
    data = replace(
        DATA,
        items=[*DATA.items, *(item for item, _ in copies)],
        names=(*DATA.names, "copy", "copy", "copy"),  # names need not differ
        labels=np.append(DATA.labels, [label for _, label in copies]),
        sources=None,
    )
    found = audit(data, (view_of(data, embeddings_of(data.labels)),), kinds=("near-duplicate",))
    images = [tuple(side.images[0] for side in finding.sides) for finding in found.findings["near-duplicate"]]
    assert images == [(0, len(DATA)), (30, len(DATA) + 1)]
    first, second = found.findings["near-duplicate"]
    assert first.score == 1.0
    assert 0.95 <= second.score < 1


@settings(max_examples=15)
@given(st.floats(0.01, 100), st.floats(-10, 10))
def test_the_unit_of_the_scores_does_not_matter(factor: float, offset: float) -> None:
    def scaled(left: FloatArray, right: FloatArray) -> NDArray[np.float32]:
        return np.float32(factor) * euclidean(left, right) + np.float32(offset)

    labels = DATA.labels.copy()
    labels[[3, 25]] = [7, 0]
    data = replace(DATA, labels=labels)
    usual = view_of(data, TRUE)
    found, other = (audit(data, (view,), kinds=("mislabelled",)) for view in (usual, replace(usual, similarity=scaled)))
    for left, right in zip(found.findings["mislabelled"][:2], other.findings["mislabelled"][:2], strict=True):
        assert left.sides == right.sides
        assert left.score == pytest.approx(right.score, rel=2e-2)


def test_the_order_of_the_images_does_not_matter() -> None:
    labels = DATA.labels.copy()
    labels[[3, 25]] = [7, 0]
    data, order = replace(DATA, labels=labels), np.random.default_rng(1).permutation(len(DATA))
    found, other = judged(data, TRUE), judged(data.take(order), TRUE[order])
    for kind in OF_LABELS:
        named, renamed = (
            [(round(f.score, 4), {data.names[i] for s in f.sides for i in s.images}) for f in result.findings[kind]]
            for result, data in ((found, found.data), (other, other.data))
        )
        assert named == renamed


def test_a_model_has_no_say_on_classes_that_it_saw() -> None:
    parts = np.array_split(np.arange(CLASSES), 3)
    labels = DATA.labels.copy()
    labels[[3, 25]] = [7, 0]
    data = replace(DATA, labels=labels)
    views, spoiled = [], []
    for at, part in enumerate(parts):
        unseen = ~np.isin(np.arange(CLASSES), part)
        embeddings = embeddings_of(DATA.labels, seed=at)
        views.append(View(embeddings, cosine, unseen))
        junk = np.random.default_rng(9).normal(size=embeddings.shape).astype(np.float32)
        spoiled.append(View(np.where(unseen[labels][:, None], embeddings, junk), cosine, unseen))
    found = audit(data, views, kinds=OF_LABELS)
    assert {finding.sides[0].images[0] for finding in found.findings["mislabelled"][:2]} == {3, 25}
    assert found.findings == audit(data, spoiled, kinds=OF_LABELS).findings


def test_two_classes_that_every_model_saw_one_of_are_refused() -> None:
    halves = [np.arange(CLASSES) < 6, np.arange(CLASSES) >= 6]
    with pytest.raises(InputError, match="a model that saw neither"):
        audit(DATA, [View(TRUE, euclidean, half) for half in halves])


def test_the_json_names_what_was_found() -> None:
    labels = DATA.labels.copy()
    labels[[3, 25]] = [7, 0]
    data = replace(DATA, labels=labels)
    content = json.loads(json.dumps(judged(data, TRUE).as_json(most=1)))
    assert (content["images"], content["classes"]) == (len(DATA), CLASSES)
    assert content["data_fingerprint"] == data.fingerprint
    kind = content["kinds"]["mislabelled"]
    assert (kind["likely"], len(kind["findings"])) == (2, 1)
    sides = kind["findings"][0]["sides"]
    assert [side["role"] for side in sides] == ["image", "listed as", "most like"]
    assert sides[0]["images"][0] in {data.names[3], data.names[25]}
    assert sides[0]["class"] in {data.classes[7], data.classes[0]}


def test_embeddings_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match=f"expected embeddings of {len(DATA)} images"):
        audit(DATA, (view_of(DATA, TRUE[1:]),))


def test_a_model_that_tells_nothing_apart_is_refused() -> None:
    with pytest.raises(InputError, match="no better apart than chance"):
        audit(DATA, (view_of(DATA, np.ones_like(TRUE)),))


def test_a_class_of_one_image_is_refused() -> None:
    labels = DATA.labels.copy()
    labels[np.flatnonzero(labels == 4)[1:]] = 5
    with pytest.raises(InputError, match="two classes of two images"):
        audit(replace(DATA, labels=labels), (view_of(DATA, TRUE),))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="unknown kind typo; expected some of mislabelled"):
        audit(DATA, (view_of(DATA, TRUE),), kinds=("typo",))
