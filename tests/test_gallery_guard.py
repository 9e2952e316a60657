"""The enrolment guard: each concern where it is due, none where it is not, whatever the order of the images."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.calibration import Calibration
from samekind.errors import InputError
from samekind.gallery.guard import Entry, Rival, concerns
from samekind.gallery.records import Concern
from samekind.similarity import cosine

CALIBRATION = Calibration(
    slope=16.0, intercept=-10.0, covariance=None, quantile=2.0, prior=0.5, pairs=100, classes=50, data="none"
)
SIZE = 16
ANN, BOB, EVE = range(3)


def drawing(who: int, number: int, *, noise: float = 0.05) -> NDArray[np.float32]:
    """An embedding of somebody, near an axis of its own."""
    found = noise * np.random.default_rng([who, number]).normal(size=SIZE)
    found[who] += 1
    return found.astype(np.float32)


def drawings(who: int, numbers: range) -> NDArray[np.float32]:
    return np.stack([drawing(who, number) for number in numbers])


def entry(who: int, number: int, *, noise: float = 0.05, rival: Rival | None = None) -> Entry:
    return Entry(drawing(who, number, noise=noise), digest=f"{who} {number} {noise}", rival=rival)


NOTHING = np.empty((0, SIZE), np.float32)
BOBS = Rival("Bob", drawings(BOB, range(3)))


def ask(
    *entries: Entry, own: NDArray[np.float32] = NOTHING, rival: Rival | None = None, identities: int = 2
) -> tuple[Concern, ...]:
    return concerns(
        entries,
        name="Ann",
        own=own,
        identities=identities,
        rival=rival,
        calibration=CALIBRATION,
        similarity=cosine,
    )


def kinds(found: tuple[Concern, ...]) -> list[tuple[int, str, str | None]]:
    return [(concern.image, concern.kind, concern.other) for concern in found]


@pytest.mark.parametrize("samples", [0, 1, 3])
def test_nothing_is_said_against_good_images(samples: int) -> None:
    own = drawings(ANN, range(samples)) if samples else NOTHING
    good = [entry(ANN, number, rival=BOBS) for number in range(5, 8)]
    assert ask(*good, own=own, rival=BOBS) == ()
    assert ask(good[0], own=own, rival=None) == (), "nobody else is enrolled"


def test_an_image_of_somebody_else_is_named() -> None:
    (alike, unlike) = ask(entry(BOB, 9, rival=BOBS), own=drawings(ANN, range(3)))
    assert kinds((alike, unlike)) == [(0, "looks like another", "Bob"), (0, "unlike its identity", None)]
    assert alike.text == "it looks like Bob: more than 1,000 times as likely as Ann"
    assert unlike.text.startswith("it does not look like the other images of Ann: more than 1,000 times as likely")


def test_an_image_of_a_stranger_is_unlike_its_identity_and_names_nobody() -> None:
    assert kinds(ask(entry(EVE, 9, rival=BOBS), own=drawings(ANN, range(2)))) == [(0, "unlike its identity", None)]


def test_among_new_images_the_wrong_one_is_found_and_of_two_both_are_named() -> None:
    five = [entry(ANN, number) for number in range(4)]
    five.insert(2, entry(EVE, 1))
    assert kinds(ask(*five)) == [(2, "unlike its identity", None)]
    both = ask(entry(ANN, 1), entry(EVE, 1))
    assert kinds(both) == [(0, "unlike its identity", None), (1, "unlike its identity", None)]


def test_another_must_be_clearly_likelier() -> None:
    between = Entry((drawing(ANN, 1) + 1.1 * drawing(BOB, 1)).astype(np.float32), digest="between", rival=BOBS)
    assert ask(between, own=drawings(ANN, range(3))) == ()
    nearer = replace(between, embedding=(drawing(ANN, 1) + 1.6 * drawing(BOB, 1)).astype(np.float32))
    assert ("looks like another", "Bob") in [c[1:] for c in kinds(ask(nearer, own=drawings(ANN, range(3))))]


@pytest.mark.parametrize("count", [1, 3])
def test_somebody_new_who_is_enrolled_already_is_named_once(count: int) -> None:
    images = [entry(BOB, number, rival=BOBS) for number in range(20, 20 + count)]
    (found,) = ask(*images, rival=BOBS)
    assert (found.kind, found.other) == ("looks like another", "Bob")
    assert found.text == "it looks like Bob, who is enrolled already"


def test_in_a_large_gallery_it_takes_more_likeness_but_no_more_than_calibration_can_show() -> None:
    faint = entry(BOB, 9, noise=0.26, rival=BOBS)
    assert kinds(ask(faint, rival=BOBS, identities=1)) == [(0, "looks like another", "Bob")]
    assert ask(faint, rival=BOBS, identities=10_000) == ()
    assert kinds(ask(entry(BOB, 9), rival=BOBS, identities=10**9)) == [(0, "looks like another", "Bob")]


def test_the_same_image_is_known_by_its_file_and_by_what_the_model_sees() -> None:
    new = entry(ANN, 9, rival=BOBS)
    assert kinds(ask(replace(new, holders=("Eve",)))) == [(0, "same image", "Eve")]
    assert kinds(ask(replace(new, rival=Rival("Bob", new.embedding[None] * np.float32(1.00001))))) == [
        (0, "same image", "Bob")
    ]
    (again,) = ask(new, own=new.embedding[None])
    assert again == Concern("same image", 0, "the same image is enrolled for Ann already", other="Ann")
    assert kinds(ask(new, replace(new, digest="other file"))) == [(1, "same image", "Ann")]
    assert kinds(ask(new, replace(entry(ANN, 10), digest=new.digest))) == [(1, "same image", "Ann")]


def test_of_a_poor_image_nothing_else_is_said_and_it_judges_no_other() -> None:
    poor = replace(entry(EVE, 1, rival=BOBS), flaws=("blank: one colour",))
    found = ask(poor, entry(ANN, 2), own=drawings(ANN, range(1)))
    assert found == (Concern("poor image", 0, "blank: one colour; nothing can be told by it"),)


@given(st.data())
def test_the_order_of_the_images_does_not_matter(data: st.DataObject) -> None:
    who = data.draw(st.lists(st.sampled_from([ANN, ANN, ANN, BOB, EVE]), min_size=1, max_size=6))
    entries = [entry(each, 30 + at, rival=BOBS) for at, each in enumerate(who)]
    order = data.draw(st.permutations(range(len(entries))))
    plain = {(c.image, c.kind, c.other) for c in ask(*entries, rival=BOBS)}
    shuffled = {(order[c.image], c.kind, c.other) for c in ask(*(entries[i] for i in order), rival=BOBS)}
    assert plain == shuffled


@given(st.floats(0, 0.5), st.integers(0, 50))
def test_what_is_more_like_its_own_is_never_worse(noise: float, number: int) -> None:
    def unlike(embedding: NDArray[np.float32]) -> bool:
        found = ask(Entry(embedding, digest="new"), own=drawings(ANN, range(3)))
        return any(concern.kind == "unlike its identity" for concern in found)

    noisy = drawing(ANN, number, noise=noise)
    nearer = noisy + drawings(ANN, range(3)).mean(axis=0) * np.float32(0.5)
    assert unlike(noisy) or not unlike(nearer.astype(np.float32))


def test_embeddings_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="expected embeddings"):
        ask(Entry(np.ones(3, np.float32), digest="small"))
