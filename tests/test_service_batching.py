"""The batcher: whoever asks gets what is theirs, however requests meet."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samekind.bundle import Bundle
from samekind.errors import InputError
from samekind.service.batching import Batcher
from samekind.verifier import Verifier

TOLERANCE = 1e-5
"""Of the largest value of an embedding: by so much may batches differ from one input at a time."""


def sums(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """An embedding of two numbers that depends on nothing but its own input."""
    total = inputs.sum(axis=(1, 2, 3))
    return np.stack([total, -total], axis=1)


def inputs_of(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)[:, None, None, None]


@given(
    st.lists(st.lists(st.integers(-1000, 1000), min_size=1, max_size=9), min_size=1, max_size=30),
    st.integers(1, 8),
    st.sampled_from([0.0, 0.001]),
)
def test_each_gets_its_own_however_they_meet(wanted: list[list[int]], size: int, patience: float) -> None:
    sizes: list[int] = []
    with Batcher(sums, size=size, patience=patience, observe=sizes.append) as batcher, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda values: batcher(inputs_of(*values)), wanted))
    for values, embeddings in zip(wanted, found, strict=True):
        assert embeddings.tolist() == [[value, -value] for value in values]
    assert sum(sizes) == sum(map(len, wanted))
    assert max(sizes) <= size


def test_a_real_model_gives_the_same_in_batches(bundle: Bundle) -> None:
    model = Verifier(bundle, threads=1)
    side = model.preprocessing.size
    inputs = np.random.default_rng(0).random((60, 1, side, side), dtype=np.float32)
    alone = np.concatenate([model.embed_batch(one[None]) for one in inputs])
    with Batcher(model.embed_batch, size=16) as batcher, ThreadPoolExecutor(20) as pool:
        together = np.concatenate(list(pool.map(lambda i: batcher(inputs[i : i + 3]), range(0, 60, 3))))
    assert np.abs(together - alone).max() <= TOLERANCE * np.abs(alone).max()


class Gate:
    """An embedder that waits until it is let go on, and notes the sizes of its batches."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        self.sizes.append(len(inputs))
        self.entered.set()
        assert self.open.wait(10)
        return sums(inputs)


def test_what_comes_during_a_pass_shares_the_next_one() -> None:
    gate = Gate()
    with Batcher(gate, size=8, patience=0) as batcher, ThreadPoolExecutor(9) as pool:
        first = pool.submit(batcher, inputs_of(0))
        assert gate.entered.wait(10)
        others = [pool.submit(batcher, inputs_of(value)) for value in range(1, 9)]
        while batcher.waiting < 8:
            pass
        gate.open.set()
        assert first.result(10).tolist() == [[0, 0]]
        assert [other.result(10)[0, 0] for other in others] == list(range(1, 9))
    assert gate.sizes == [1, 8]


def test_patience_lets_others_join() -> None:
    gate = Gate()
    gate.open.set()
    with Batcher(gate, size=2, patience=10) as batcher, ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda value: batcher(inputs_of(value)), (1, 2)))  # a full batch does not wait
    assert gate.sizes == [2]


def test_without_patience_the_first_goes_alone() -> None:
    with Batcher(sums, size=1000, patience=0) as batcher:
        assert batcher(inputs_of(7)).tolist() == [[7, -7]]  # would take for ever, were it to wait for more


def test_an_error_reaches_whoever_waits_and_nobody_later() -> None:
    def picky(inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        if np.isnan(inputs).any():
            raise ValueError("not a number")
        return sums(inputs)

    with Batcher(picky) as batcher:
        with pytest.raises(ValueError, match="not a number"):
            batcher(inputs_of(np.nan))
        assert batcher(inputs_of(1)).tolist() == [[1, -1]]


def test_closing_finishes_what_waits_and_takes_nothing_new() -> None:
    gate = Gate()
    batcher = Batcher(gate, patience=10)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(batcher, inputs_of(3))
        while not batcher.waiting:
            pass
        gate.open.set()
        batcher.close()  # does not sit out its patience
        assert waiting.result(1).tolist() == [[3, -3]]
    with pytest.raises(InputError, match="stopped"):
        batcher(inputs_of(1))


@pytest.mark.parametrize(("size", "patience"), [(0, 0.1), (1, -1.0), (1, float("nan"))])
def test_arguments_out_of_range_are_refused(size: int, patience: float) -> None:
    with pytest.raises(InputError, match="at least"):
        Batcher(sums, size=size, patience=patience)
