"""The page is one file with all that was measured: it fetches nothing, runs nothing, and is never half-written."""

import base64
import io
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from samekind import protocols
from samekind.data.labelled import LabelledImages
from samekind.errors import InputError, MissingDataError
from samekind.metrics import Estimate, fnmr_at_fmr
from samekind.pages import THUMBNAIL
from samekind.protocols import Evaluation, PairScorer
from samekind.report import REFERENCES, write_report
from samekind.scored import ScoredPairs, ScoredTrials
from samekind.trials import Pairs, Trials
from samekind.version import __version__

DATE = datetime(2031, 5, 17, 8, 30, tzinfo=UTC)
ATTACK = "<script>alert('x')</script>"
VOID = {"meta", "img", "br"}


def images(size: int = 12, *, groups: bool = False, first: str = "class0") -> LabelledImages:
    """Eight classes of four images: each class a column of ink of its own, each image a shade of its own."""
    labels = np.repeat(np.arange(8), 4)
    arrays = [np.full((size, size), 255, dtype=np.uint8) for _ in labels]
    for index, (array, label) in enumerate(zip(arrays, labels, strict=True)):
        array[:, label] = 5 * index
    return LabelledImages(
        "columns",
        arrays,
        tuple(f"image{index}.png" for index in range(len(labels))),
        labels,
        (first, *(f"class{c}" for c in range(1, 8))),
        groups=tuple(f"group{c % 2}" for c in range(8)) if groups else None,
    )


def evaluation(data: LabelledImages | None = None, *, protocol: str = "koch", scored: bool = True) -> Evaluation:
    """All pairs of the data, with seeded scores in which genuine pairs are mostly, not always, higher."""
    data = images() if data is None else data
    left, right = np.triu_indices(len(data), k=1)
    same = data.labels[left] == data.labels[right]
    scores = (np.random.default_rng(1).normal(size=len(left)) + 2 * same).astype(np.float32)
    pairs = ScoredPairs(data, Pairs(left, right, same), scores)
    metrics = {"accuracy": Estimate(0.91234, 0.85, 0.95), "eer": Estimate(0.0777, 0.05, 0.111)}
    return Evaluation(protocol, data.name, len(left), 41, metrics, data.fingerprint, pairs if scored else None)


def write(
    path: Path, *evaluations: Evaluation, threshold: float | None = 1.5, bundle: str = "mine", cards: int = 6
) -> str:
    write_report(path, evaluations, bundle=bundle, threshold=threshold, cards=cards, date=DATE)
    return path.read_text(encoding="utf-8")


@dataclass
class Page(HTMLParser):
    """What a browser would see: tags with their attributes in order, and all text."""

    page: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.page)
        self.close()
        assert not self.open
        self.text = " ".join(self.text.replace("\N{NO-BREAK SPACE}", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data + " "

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


def strip(page: str, title: str) -> tuple[str, list[float], list[str]]:
    """The note of a strip, the scores on its cards, and the text of its cards."""
    (part,) = re.findall(rf"<h3>{title}</h3>(.*?)(?:<h3>|<footer>)", page, re.DOTALL)
    note = re.findall(r'<p class="note">(.*?)</p>', part)[0]
    cards = [Page(card).text for card in re.findall(r"<li .*?</li>", part, re.DOTALL)]
    scores = [float(score.replace("\N{MINUS SIGN}", "-")) for score in re.findall(r'class="score">([^ <]+)', part)]
    return note, scores, cards


def content(uri: str | None) -> bytes:
    assert uri is not None
    return base64.b64decode(uri.split(";base64,")[1], validate=True)


def picture(uri: str | None) -> Image.Image:
    return Image.open(io.BytesIO(content(uri)))


def test_a_real_evaluation_becomes_a_page(tmp_path: Path) -> None:
    def scorer_of(data: LabelledImages) -> PairScorer:
        pixels = np.stack([np.asarray(item, dtype=np.float32).ravel() for item in data.items])
        return lambda left, right: -np.abs(pixels[left] - pixels[right]).mean(axis=1)

    measured = protocols.run(
        "verification", protocols.Model(scorer_of, threshold=-20.0), data=images(), pairs=60, seed=7
    )
    text = Page(write(tmp_path / "report.html", measured, threshold=-20.0)).text
    for name, value in (("Accuracy", "accuracy"), ("Equal error rate", "eer")):
        estimate = measured.metrics[value]
        low, high = f"{100 * estimate.low:.2f}", f"{100 * estimate.high:.2f}"
        assert f"{name} {100 * estimate.value:.2f} % {low}\N{EN DASH}{high} %" in text
    assert f"{round(measured.metrics['min_cllr'].value, 3) + 0.0:.3f} bits" in text
    assert "60 pairs · seed 7" in text


def test_page_fetches_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", evaluation(), evaluation(protocol="lake", scored=False)))
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|https?://", page.page)
    assert all(str(image["src"]).startswith("data:image/") for image in page.images())
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "href"]


def test_pictures_are_whole_and_told_in_words(tmp_path: Path) -> None:
    shown = Page(write(tmp_path / "report.html", evaluation(), cards=2)).images()
    assert len(shown) == 4 + 4 * 2 * 2  # plots, then strips of two cards
    for image in shown:
        assert image["alt"]
        if "svg" in str(image["src"])[:20]:
            assert ElementTree.fromstring(content(image["src"])).tag.endswith("svg")
        else:
            picture(image["src"]).load()


def test_class_names_of_users_are_text_and_never_markup(tmp_path: Path) -> None:
    data = replace(images(first=ATTACK), name=ATTACK, names=(f'"{ATTACK}', *images().names[1:]), groups=(ATTACK,) * 8)
    path = tmp_path / "report.html"
    write_report(
        path, [evaluation(data, protocol=ATTACK)], bundle=ATTACK, threshold=0, title=ATTACK, details={ATTACK: ATTACK}
    )
    page = Page(path.read_text(encoding="utf-8"))
    assert "<script" not in page.page
    assert "script" not in {tag for tag, _ in page.tags}
    assert page.text.count(ATTACK) > 6


def test_what_was_asked_of_what_and_when_is_on_the_page(tmp_path: Path) -> None:
    path, measured = tmp_path / "report.html", evaluation()
    details = {"Encoder": "residual", "Training": "4 minutes"}
    write_report(path, [measured], bundle="tiny", threshold=-0.25, details=details, title="Same leaf?", date=DATE)
    page = Page(path.read_text(encoding="utf-8"))
    for expected in ("Same leaf?", "Model tiny", "Encoder residual", "Training 4 minutes", "2031-05-17 08:30 UTC"):
        assert expected in page.text
    assert f"samekind {__version__}" in page.text
    assert "Threshold \N{MINUS SIGN}0.250" in page.text
    assert f"columns · {measured.n_trials} pairs · seed 41 · data {measured.data_fingerprint[:12]} " in page.text
    assert "Are these two images" not in page.text


def test_title_and_date_have_defaults(tmp_path: Path) -> None:
    write_report(tmp_path / "report.html", [evaluation()], bundle="tiny", threshold=None)
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "Are these two images of the same kind?" in text
    assert f"Date {datetime.now().year}-" in text


def test_published_figures_stand_only_beside_what_they_compare_with(tmp_path: Path) -> None:
    error = {"error": Estimate(0.07, 0.05, 0.09)}
    lake = replace(evaluation(protocol="lake", scored=False), metrics=error)
    text = Page(write(tmp_path / "report.html", evaluation(protocol="koch"), lake)).text
    assert "Accuracy 91.23 % 85.00\N{EN DASH}95.00 % Siamese network 93.42 % Koch" in text
    assert "7.00 % 5.00\N{EN DASH}9.00 % Siamese network 8.00 % Koch" in text
    assert "People 4.50 % Lake" in text
    assert "Bayesian program learning 3.30 % Lake" in text
    others = replace(lake, protocol="within-alphabet"), evaluation(protocol="verification")
    text = Page(write(tmp_path / "report.html", *others)).text
    assert not [r.name for references in REFERENCES.values() for r in references if r.name in text]


@pytest.mark.parametrize("cards", [1, 5])
@pytest.mark.parametrize("threshold", [0.8, 1.5])
def test_strips_show_the_extremes_in_order(tmp_path: Path, cards: int, threshold: float) -> None:
    measured = evaluation()
    assert isinstance(measured.scored, ScoredPairs)
    scores, same = measured.scored.scores, measured.scored.pairs.same
    page = write(tmp_path / "report.html", measured, threshold=threshold, cards=cards)
    genuine, impostors = sorted(map(float, scores[same])), sorted(map(float, scores[~same]), reverse=True)
    false_matches = [score for score in impostors if score >= threshold]
    misses = [score for score in genuine if score < threshold]
    expected: dict[str, tuple[list[float], str]] = {
        "Worst false matches": (false_matches, "said same truth: different"),
        "Worst misses": (misses, "said different truth: same"),
        "Best genuine matches": (genuine[::-1], "said same truth: same"),
        "Most clearly different": (impostors[::-1], "said different truth: different"),
    }
    for title, (order, verdict) in expected.items():
        _, shown, texts = strip(page, title)
        assert shown == [float(f"{score:.3f}") for score in order[:cards]]
        assert all(text.endswith(verdict) for text in texts)
    assert strip(page, "Worst false matches")[0].startswith(f"{len(false_matches)} of {len(impostors)} impostor")
    assert strip(page, "Worst misses")[0].startswith(f"{len(misses)} of {len(genuine)} genuine")


def test_cards_show_the_two_images_of_their_pair(tmp_path: Path) -> None:
    measured = evaluation(images(groups=True))
    assert isinstance(measured.scored, ScoredPairs)
    data, pairs = measured.scored.data, measured.scored.pairs
    worst = int(np.flatnonzero(~pairs.same)[measured.scored.scores[~pairs.same].argmax()])
    page = write(tmp_path / "report.html", measured, cards=1)
    left, right = Page(page).images()[4:6]
    for shown, index in ((left, pairs.left[worst]), (right, pairs.right[worst])):
        assert np.array_equal(np.asarray(picture(shown["src"])), data.items[index])
        assert shown["title"] == data.names[index]
        label = data.labels[index]
        assert shown["alt"] == f"group{label % 2}, class{label}: {data.names[index]}"


def test_a_group_that_the_class_name_repeats_is_shown_once(tmp_path: Path) -> None:
    data = images(groups=True)
    assert data.groups is not None
    names = tuple(f"{group}/{kind}" for group, kind in zip(data.groups, data.classes, strict=True))
    repeated = write(tmp_path / "repeated.html", replace_data(evaluation(data), replace(data, classes=names)))
    assert repeated == write(tmp_path / "plain.html", evaluation(data))


def replace_data(measured: Evaluation, data: LabelledImages) -> Evaluation:
    assert isinstance(measured.scored, ScoredPairs)
    return replace(measured, scored=replace(measured.scored, data=data))


@pytest.mark.parametrize(("size", "shown", "small"), [(12, 12, True), (105, 105, False), (400, THUMBNAIL, False)])
def test_large_images_shrink_and_small_ones_keep_their_pixels(
    tmp_path: Path, size: int, shown: int, small: bool
) -> None:
    for image in Page(write(tmp_path / "report.html", evaluation(images(size)), cards=1)).images()[4:]:
        assert picture(image["src"]).size == (shown, shown)
        assert ("class" in image) == small


def test_a_score_on_the_threshold_is_same(tmp_path: Path) -> None:
    measured = evaluation()
    assert isinstance(measured.scored, ScoredPairs)
    best = float(measured.scored.scores[~measured.scored.pairs.same].max())
    assert len(strip(write(tmp_path / "at.html", measured, threshold=best), "Worst false matches")[1]) == 1
    above = float(np.nextafter(best, np.inf))  # nearer than float32 can tell
    note, scores, _ = strip(write(tmp_path / "above.html", measured, threshold=above), "Worst false matches")
    assert not scores
    assert note.startswith("None: not one of 448 impostor pairs")


def test_where_nothing_was_missed_the_page_says_so(tmp_path: Path) -> None:
    note, scores, _ = strip(write(tmp_path / "report.html", evaluation(), threshold=-9.0), "Worst misses")
    assert (note, scores) == ("None: not one of 48 genuine pairs is a miss.", [])


def test_without_a_threshold_nothing_is_said(tmp_path: Path) -> None:
    page = write(tmp_path / "report.html", evaluation(), threshold=None)
    assert "Threshold none" in Page(page).text
    assert not re.search("said (same|different)", Page(page).text)
    assert len(strip(page, "Most alike impostors")[1]) == len(strip(page, "Least alike genuine pairs")[1]) == 6


def test_a_file_name_that_is_no_text_is_shown_as_bytes(tmp_path: Path) -> None:
    data = replace(images(), names=(os.fsdecode(b"caf\xe9.png"),) * 32)
    assert r"caf\udce9.png" in write(tmp_path / "report.html", evaluation(data))


def test_an_evaluation_without_pairs_has_figures_only(tmp_path: Path) -> None:
    page = Page(write(tmp_path / "report.html", evaluation(scored=False)))
    assert "Accuracy 91.23 %" in page.text
    assert "496 trials" in page.text
    assert not page.images()


def test_an_unknown_metric_goes_by_its_own_name(tmp_path: Path) -> None:
    metrics = {"novelty": Estimate(0.5, 0.25, 0.75), "cllr": Estimate(0.0, -1e-17, -0.0)}
    measured = replace(evaluation(scored=False), metrics=metrics)
    text = Page(write(tmp_path / "report.html", measured)).text
    assert "novelty 50.00 % 25.00\N{EN DASH}75.00 %" in text
    assert "Cllr 0.000 bits 0.000\N{EN DASH}0.000 bits" in text


def test_the_same_evaluation_gives_the_same_page(tmp_path: Path) -> None:
    assert write(tmp_path / "a.html", evaluation()) == write(tmp_path / "b.html", evaluation())


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one evaluation"):
        write(tmp_path / "report.html")
    with pytest.raises(InputError, match="at least 1 pair"):
        write(tmp_path / "report.html", evaluation(), cards=0)
    assert not list(tmp_path.iterdir())


def test_an_image_that_is_gone_is_named_and_leaves_no_page(tmp_path: Path) -> None:
    data = images()
    gone = replace(data, items=[tmp_path / "gone.png"] * len(data))
    with pytest.raises(MissingDataError, match=r"gone\.png"):
        write(tmp_path / "report.html", replace_data(evaluation(data), gone))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "place",
    [
        lambda folder: folder,
        lambda folder: folder / "no" / "report.html",
        lambda folder: folder / "file" / "report.html",
        lambda folder: Path(os.devnull),
    ],
)
def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(InputError) as caught:
        write(place(tmp_path), evaluation(scored=False))
    assert str(caught.value).startswith(f"{place(tmp_path)}: ")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write to a read-only folder")
def test_a_read_only_folder_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "report.html", evaluation(scored=False))


def test_a_disk_that_fills_up_leaves_the_old_page_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old page")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))  # a write beyond this fails half way
    try:
        with pytest.raises(InputError, match="cannot be written"):
            write(path, evaluation())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "the old page"
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    assert "Accuracy" in write(path, evaluation())


def trials_of(data: LabelledImages) -> Evaluation:
    """Two-way trials about every image, each with an image of its class and one of the next; one in four is wrong."""
    queries = np.arange(len(data))
    true, other = 4 * data.labels + (queries + 1) % 4, 4 * ((data.labels + 1) % 8)
    trials = Trials(queries, np.stack([true, other], axis=1)[..., None], np.zeros(len(data), np.int64))
    lead = np.where(queries % 4 == 0, -1, 1) * (1 + queries) / 10
    scores = np.stack([lead, np.zeros(len(data))], axis=1).astype(np.float32)
    metrics = {"accuracy": Estimate(0.75, 0.5, 0.9)}
    scored = ScoredTrials(data, trials, scores)
    return Evaluation("one-shot", data.name, len(data), 2, metrics, data.fingerprint, scored)


def test_misses_at_fixed_rates_stand_together_and_keep_the_intervals_that_were_measured(tmp_path: Path) -> None:
    measured = evaluation()
    assert isinstance(measured.scored, ScoredPairs)
    own = {**measured.metrics, "fnmr@fmr=0.01": Estimate(0.5, 0.4, 0.6), "cllr": Estimate(0.3, 0.2, 0.4)}
    text = Page(write(tmp_path / "report.html", replace(measured, metrics=own))).text
    scores, same = measured.scored.scores, measured.scored.pairs.same
    places = []
    for fmr, name in ((0.1, "10"), (0.01, "1"), (0.001, "0.1")):
        value = 50 if fmr == 0.01 else 100 * fnmr_at_fmr(scores, same, fmr=fmr)
        line = f"Misses at {name} % false matches {value:.2f} % LOW\N{EN DASH}HIGH %"
        found = re.search(re.sub("LOW|HIGH", "([0-9.]+)", line), text)
        assert found
        assert float(found[1]) <= value <= float(found[2])
        assert fmr != 0.01 or found.groups() == ("40.00", "60.00")
        places.append(found.start())
    assert [*places, text.index("0.300 bits")] == sorted([*places, text.index("0.300 bits")])
    assert "Accuracy 91.23 %" in text


def test_a_calibrated_model_shows_whether_its_probabilities_are_true(tmp_path: Path) -> None:
    measured = evaluation()
    assert isinstance(measured.scored, ScoredPairs)
    llr = 2 * measured.scored.scores.astype(np.float64) - 2
    calibrated = replace(measured, scored=replace(measured.scored, llr=llr))
    assert "Reliability" in write(tmp_path / "report.html", calibrated)
    assert "Reliability" not in write(tmp_path / "report.html", measured)


def test_risk_needs_a_threshold_and_groups_show_what_there_is(tmp_path: Path) -> None:
    measured = evaluation(images(groups=True))
    page = write(tmp_path / "report.html", measured)
    assert "Errors if only the surest" in page
    assert sorted(re.findall(r'<th scope="row">(group\d) <small>4 classes, \d+ pairs', page)) == ["group0", "group1"]
    assert "Group Misses False matches Equal error rate group" in Page(page).text
    without = write(tmp_path / "report.html", measured, threshold=None)
    assert "Errors if only the surest" not in without
    assert "Group Equal error rate group" in Page(without).text
    assert "Group by group" not in write(tmp_path / "report.html", evaluation())


def test_trials_show_the_query_the_true_class_and_the_one_that_won(tmp_path: Path) -> None:
    data = images(groups=True)
    page = write(tmp_path / "report.html", trials_of(data), threshold=None, cards=2)
    note, _, texts = strip(page, "Worst errors")
    assert note.startswith("8 of 32 trials; the clearest errors")
    assert len(texts) == 2
    assert texts[0].startswith("asked about group1 class7 true class group1 class7 said group0 class0")
    assert texts[0].endswith("score \N{MINUS SIGN}2.900 against 0.000 \N{BALLOT X} said class0 truth: class7")
    shown = [image for image in Page(page).images() if "png" in str(image["src"])[:20]]
    for image, index in zip(shown[:3], (28, 29, 0), strict=True):
        assert image["title"] == data.names[index]
        assert np.array_equal(np.asarray(picture(image["src"])), np.asarray(data[index][0]))
    narrow = strip(page, "Most narrowly right")
    assert [text.split("score ")[1] for text in narrow[2]] == [
        f"{score} against 0.000 \N{CHECK MARK} said class0 truth: class0" for score in ("0.200", "0.300")
    ]
    assert "32 trials" in Page(page).text
    assert "group1 4 classes, 16 trials" in Page(page).text


def test_a_tied_trial_is_wrong_and_says_so(tmp_path: Path) -> None:
    measured = trials_of(images())
    assert isinstance(measured.scored, ScoredTrials)
    tied = replace(measured.scored, scores=np.zeros((32, 2), np.float32))
    page = write(tmp_path / "report.html", replace(measured, scored=tied), cards=1)
    assert strip(page, "Worst errors")[0].startswith("32 of 32 trials")
    assert "\N{BALLOT X} said a tie" in strip(page, "Worst errors")[2][0]
    assert strip(page, "Most narrowly right")[2] == []


def test_several_references_of_a_class_are_said_to_be_so(tmp_path: Path) -> None:
    measured = trials_of(images())
    assert isinstance(measured.scored, ScoredTrials)
    trials = measured.scored.trials
    several = replace(trials, references=np.repeat(trials.references, 3, axis=2))
    page = write(tmp_path / "report.html", replace(measured, scored=replace(measured.scored, trials=several)))
    assert "over 3 references of a class; one is shown" in strip(page, "Worst errors")[0]


def test_importing_the_report_brings_neither_pyplot_nor_torch() -> None:
    code = (
        "import sys, samekind.report; print([name for name in ('matplotlib.pyplot', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
