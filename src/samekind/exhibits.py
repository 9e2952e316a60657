"""What to look at of an evaluation: the worst errors and the best answers, as pictures with what was said of them.

Knows scored pairs and trials. Knows nothing of figures, or of how a page looks.
"""

from dataclasses import dataclass

import numpy as np

from samekind.data.labelled import LabelledImages
from samekind.pages import number, thumbnail
from samekind.scored import ScoredPairs, ScoredTrials


@dataclass(frozen=True)
class Picture:
    """One image: a PNG data URI, group and class, its own name, whether it is so small that pixels show, its part."""

    source: str
    group: str
    kind: str
    name: str
    small: bool
    role: str = ""


@dataclass(frozen=True)
class Exhibit:
    """One pair or trial.

    Args:
        pictures: the two of a pair; of a trial the query, a reference of the true class and one of the class said.
        score: as it is read.
        said: by the model; "" where it has no threshold.
        right: whether that is true.
        truth: what is.
    """

    pictures: tuple[Picture, ...]
    score: str
    said: str
    right: bool
    truth: str


@dataclass(frozen=True)
class Strip:
    """A row of exhibits with a title, and a sentence on what they are or why there are none."""

    title: str
    note: str
    exhibits: tuple[Exhibit, ...]


def strips(scored: ScoredPairs | ScoredTrials, threshold: float | None, *, most: int) -> tuple[Strip, ...]:
    """The rows to look at.

    Args:
        scored: what the model gave.
        threshold: score >= threshold means same; None where the model has none. Trials need none.
        most: exhibits a row.
    Raises:
        ImageError: an image cannot be read.
    """
    if isinstance(scored, ScoredTrials):
        return _of_trials(scored, most)
    return _of_pairs(scored, threshold, most)


def _of_pairs(scored: ScoredPairs, threshold: float | None, most: int) -> tuple[Strip, ...]:
    scores, same = scored.scores.astype(np.float64), scored.pairs.same  # compared as `metrics` does
    said = None if threshold is None else scores >= threshold
    rising = np.argsort(scores, kind="stable")
    genuine, impostors = rising[same[rising]], rising[~same[rising]]
    if said is None:
        false_matches, misses = impostors[::-1], genuine
        match_title, match_note = "Most alike impostors", "Two classes with the highest scores."
        miss_title, miss_note = "Least alike genuine pairs", "One class with the lowest scores."
    else:
        false_matches = impostors[said[impostors]][::-1]
        misses = genuine[~said[genuine]]
        match_title, miss_title = "Worst false matches", "Worst misses"
        match_note = _count(len(false_matches), len(impostors), "impostor pairs", "a false match", "highest scores")
        miss_note = _count(len(misses), len(genuine), "genuine pairs", "a miss", "lowest scores")

    def exhibit(pair: int) -> Exhibit:
        pictures = tuple(_picture(scored.data, int(side[pair])) for side in (scored.pairs.left, scored.pairs.right))
        answer, truth = "" if said is None else _word(bool(said[pair])), _word(bool(same[pair]))
        return Exhibit(pictures, number(float(scores[pair])), answer, answer == truth, truth)

    rows = (
        (match_title, match_note, false_matches),
        (miss_title, miss_note, misses),
        ("Best genuine matches", "One class, the highest scores.", genuine[::-1]),
        ("Most clearly different", "Two classes, the lowest scores.", impostors),
    )
    return tuple(Strip(title, note, tuple(exhibit(int(pair)) for pair in order[:most])) for title, note, order in rows)


def _of_trials(scored: ScoredTrials, most: int) -> tuple[Strip, ...]:
    data, trials = scored.data, scored.trials
    shots = trials.references.shape[2]
    rising = np.argsort(scored.margins, kind="stable")
    wrong, narrow = rising[~scored.right[rising]], rising[scored.right[rising]]
    note = _count(len(wrong), len(trials), "trials", "wrong", "clearest errors")
    if shots > 1:
        note += f" Scores are over {shots} references of a class; one is shown."

    def exhibit(trial: int) -> Exhibit:
        true, other = int(trials.correct[trial]), int(scored.rivals[trial])
        margin, right = float(scored.margins[trial]), bool(scored.right[trial])
        roles = ("asked about", "true class", "runner-up" if right else "said" if margin else "tied")
        chosen = (trials.queries[trial], trials.references[trial, true, 0], trials.references[trial, other, 0])
        pictures = tuple(_picture(data, int(index), role) for index, role in zip(chosen, roles, strict=True))
        kinds = [_kind(data, int(data.labels[index])) for index in chosen]
        score = f"{number(float(scored.scores[trial, true]))} against {number(float(scored.scores[trial, other]))}"
        return Exhibit(pictures, score, kinds[0] if right else kinds[2] if margin else "a tie", right, kinds[0])

    return (
        Strip("Worst errors", note, tuple(exhibit(int(trial)) for trial in wrong[:most])),
        Strip(
            "Most narrowly right",
            "The true class scores highest, by the least.",
            tuple(exhibit(int(trial)) for trial in narrow[:most]),
        ),
    )


def _count(wrong: int, total: int, items: str, what: str, extreme: str) -> str:
    if not wrong:
        return f"None: not one of {total:,} {items} is {what}."
    return f"{wrong:,} of {total:,} {items}; the {extreme} come first."


def _picture(data: LabelledImages, index: int, role: str = "") -> Picture:
    image, label = data[index]
    source, small = thumbnail(image)
    group = "" if data.groups is None else data.groups[label]
    return Picture(source, group, _kind(data, label), data.names[index], small, role)


def _kind(data: LabelledImages, label: int) -> str:
    """The name of a class without the group that it may repeat."""
    group = "" if data.groups is None else data.groups[label]
    return data.classes[label].removeprefix(f"{group}/")


def _word(same: bool) -> str:
    return "same" if same else "different"
