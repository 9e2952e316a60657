"""One forward pass for what several threads want embedded at the same time.

Knows arrays and threads. Knows nothing of images, models or HTTP.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from samekind.errors import InputError

Embedder = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(eq=False)
class _Wanted:
    """What one caller waits for."""

    inputs: NDArray[np.float32]
    done: threading.Event = field(default_factory=threading.Event)
    embeddings: NDArray[np.float32] | None = None
    error: BaseException | None = None


class Batcher:
    """An embedder that gathers what several threads ask for and embeds it at once, in a thread of its own.

    A request waits for others until `size` inputs are there, but no longer than `patience`. Embeddings differ from
    those of one input at a time by rounding only.

    Args:
        embed: (N, C, H, W) float32 -> (N, D) float32; called by one thread at a time, with at most `size` inputs.
        size: inputs of one forward pass at most; >= 1.
        patience: seconds that the first of a batch waits for more; >= 0.
        observe: told the size of each batch.
    Raises:
        InputError: an argument is out of range.
    """

    def __init__(
        self,
        embed: Embedder,
        *,
        size: int = 32,
        patience: float = 0.002,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        if size < 1 or not patience >= 0:
            raise InputError(f"expected a batch of at least 1 and a patience of at least 0, got {size} and {patience}")
        self.size = size
        self._embed = embed
        self._patience = patience
        self._observe = observe
        self._waiting: deque[_Wanted] = deque()
        self._inputs = 0  # of those waiting
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="samekind-forward", daemon=True)
        self._thread.start()

    def __call__(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed, together with what other threads want: (N, C, H, W) float32 -> (N, D) float32, N >= 1.

        Raises:
            InputError: it is closed already.
        """
        parts = [_Wanted(inputs[i : i + self.size]) for i in range(0, len(inputs), self.size)]
        with self._changed:
            if self._closed:
                raise InputError("expected to embed before the service stopped")
            self._waiting.extend(parts)
            self._inputs += len(inputs)
            self._changed.notify()
        found = []
        for part in parts:
            part.done.wait()
            if part.error is not None:
                raise part.error
            assert part.embeddings is not None
            found.append(part.embeddings)
        return found[0] if len(found) == 1 else np.concatenate(found)

    @property
    def waiting(self) -> int:
        """Inputs that no forward pass has been begun for."""
        return self._inputs

    def close(self) -> None:
        """Finish what is waiting, take nothing new, end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while batch := self._gather():
            try:
                embeddings = self._embed(
                    batch[0].inputs if len(batch) == 1 else np.concatenate([x.inputs for x in batch])
                )
                start = 0
                for wanted in batch:
                    stop = start + len(wanted.inputs)
                    wanted.embeddings = embeddings[start:stop]
                    start = stop
            except BaseException as error:  # whoever waits must be told, whatever it is
                for wanted in batch:
                    wanted.error = error
            for wanted in batch:
                wanted.done.set()

    def _gather(self) -> list[_Wanted]:
        """The next batch; empty when closed and nothing is left."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            until = time.monotonic() + self._patience
            while self._inputs < self.size and not self._closed and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            batch: list[_Wanted] = []
            count = 0
            while self._waiting and count + len(self._waiting[0].inputs) <= self.size:
                batch.append(wanted := self._waiting.popleft())
                count += len(wanted.inputs)
            self._inputs -= count
        if batch and self._observe is not None:
            self._observe(count)
        return batch
