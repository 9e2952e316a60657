"""What the routes work with: a warm model, a gallery, threads, and what is allowed.

Knows the model, the gallery, the batcher and the threads. Knows nothing of HTTP.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from samekind.errors import ImageError, NoThresholdError
from samekind.gallery.gallery import Gallery
from samekind.gallery.store import Counts
from samekind.service.batching import Batcher
from samekind.service.pictures import blame, inspect
from samekind.service.problems import ProblemError
from samekind.service.settings import Settings
from samekind.service.workers import Workers
from samekind.verifier import Verifier

T = TypeVar("T")

THREADS = 32
"""That work on requests: as many can share a forward pass. They wait most of the time."""
LIGHT = 4_000_000
"""Pixels of a request up to which it is worked on at once. Larger ones take memory and get threads of their own: ..."""
SHARE = 2
"""... one for so many cores, ..."""
QUEUE = 8
"""... for each of which so many wait; more are refused."""
WRITERS = 2
"""Threads of those that change the gallery: one prepares while another writes. They wait for locks, ..."""
WRITES = 32
"""... and so many more wait for them; others are refused. Nobody else waits for them."""
READY = 2.0
"""Seconds within which the gallery answers where it is ready."""


class _Lane:
    """Threads of its own for what others must not wait for, and a queue before them that ends somewhere.

    Args:
        threads: calls that run, at most.
        queue: calls that wait, at most; more are refused.
        what: is in it; for whoever is refused.
    """

    def __init__(self, threads: int, *, queue: int, what: str) -> None:
        self.workers = Workers(threads, turns=threads)
        self._room = threads + queue  # only touched in the event loop
        self._what = what

    async def run(self, call: Callable[[], T]) -> T:
        """The result of a call, when it is its turn. Raises ProblemError where too many wait already."""
        if not self._room:
            raise ProblemError("busy", f"too many {self._what}; try again later", retry_after=5)
        self._room -= 1
        try:
            return await self.workers.run(call)
        finally:
            self._room += 1


class Service:
    """One model for many requests at the same time.

    Args:
        model: loaded; its forward passes run in one thread.
        settings: what is allowed.
        gallery: opens the gallery with a model; None: there is none.
        observe: told the size of each batch.
    Raises:
        NoThresholdError: the model has no calibration, so it cannot decide.
    """

    def __init__(
        self,
        model: Verifier,
        settings: Settings,
        *,
        gallery: Callable[[Verifier], Gallery] | None = None,
        observe: Callable[[int], None] | None = None,
    ) -> None:
        if model.bundle.manifest.calibration is None:
            raise NoThresholdError(
                f"{model.bundle.path}: this model has no threshold, so it cannot be served; "
                "give it one by `samekind calibrate`"
            )
        self.settings = settings
        self.batcher = Batcher(model.embed_batch, observe=observe)
        cores = os.cpu_count() or 1
        self.workers = Workers(THREADS, turns=max(2, cores))
        lanes = max(1, cores // SHARE)
        self._heavy = _Lane(lanes, queue=lanes * QUEUE, what=f"requests of more than {LIGHT} pixels")
        self._writers = _Lane(WRITERS, queue=WRITES, what="requests that change the gallery")
        self.operation = Workers(1, turns=1)  # for whoever watches the service: waits for no request
        self._asking = Workers(1, turns=1)  # whether the gallery is ready
        self.verifier = model.through(self.workers.aside(self.batcher))
        self._gallery = None if gallery is None else gallery(self.verifier)

    def gallery(self) -> Gallery:
        """The gallery. Raises ProblemError where there is none."""
        if self._gallery is None:
            raise ProblemError("no-gallery", "this service was started without a gallery, so it can only verify")
        return self._gallery

    async def enrolled(self) -> Counts | None:
        """How much the gallery holds; None where there is none."""
        return None if self._gallery is None else await self.workers.run(self._gallery.counts)

    async def ready(self) -> None:
        """Ask the gallery, if there is one.

        Raises:
            GalleryError: it cannot be read.
            ProblemError: it does not answer in time.
        """
        if self._gallery is not None:
            try:
                async with asyncio.timeout(READY):
                    await self._asking.run(self._gallery.counts)
            except TimeoutError:
                raise ProblemError(
                    "unavailable", f"the gallery did not answer within {READY:g} s", retry_after=10
                ) from None

    @property
    def left(self) -> int:
        """Calls of requests that go on though nobody waits for them any more."""
        return self.workers.left + self._heavy.workers.left + self._writers.workers.left

    def warm(self) -> None:
        """Make the first pass of each size of batch, so that no request waits for it, nor takes memory for it."""
        side, channels = self.verifier.preprocessing.size, self.verifier.preprocessing.channels
        for size in (self.batcher.size, 1, 2):
            self.batcher(np.zeros((size, channels, side, side), np.float32))

    async def work(self, images: Mapping[str, Sequence[bytes]], call: Callable[[], T], *, writes: bool = False) -> T:
        """The result of a call on images, in a thread.

        Args:
            images: by the name of their field.
            call: on them; runs only if their headers are fine.
            writes: whether it changes the gallery; then it waits as in `write`, however large they are.
        Raises:
            ImageError: one cannot be read; the text begins with the name of its field.
            ProblemError: too many with large images, or that write, are there already.
        """

        def decoded() -> T:
            try:
                return call()
            except ImageError as error:
                raise blame(images, error) from None

        def light() -> tuple[T, None] | None:
            return (decoded(), None) if inspect(images, pixels=self.settings.limits.pixels) <= LIGHT else None

        def written() -> T:
            inspect(images, pixels=self.settings.limits.pixels)
            return decoded()

        if writes:
            return await self.write(written)
        done = await self.workers.compute(light)
        return await self._heavy.run(decoded) if done is None else done[0]

    async def write(self, call: Callable[[], T]) -> T:
        """The result of a call that changes the gallery, in a thread of those that do so and wait for each other.

        Raises:
            ProblemError: too many wait already.
        """
        return await self._writers.run(call)

    def close(self) -> None:
        """Finish what is being worked on."""
        for workers in (self.workers, self._heavy.workers, self._writers.workers, self.operation, self._asking):
            workers.close()
        self.batcher.close()
        if self._gallery is not None:
            self._gallery.close()
