"""What the routes work with: a warm model, a gallery, threads, and what is allowed.

Knows the model, the gallery, the batcher and the threads. Knows nothing of HTTP.
"""

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
        self._heavy = Workers(max(1, cores // SHARE), turns=max(1, cores // SHARE))
        self._room = max(1, cores // SHARE) * (1 + QUEUE)  # for requests with large images, at work or waiting
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

    @property
    def left(self) -> int:
        """Calls that go on though nobody waits for them any more."""
        return self.workers.left + self._heavy.left

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
            writes: whether it may have to wait for others that write to the gallery.
        Raises:
            ImageError: one cannot be read; the text begins with the name of its field.
            ProblemError: too many with large images are there already.
        """

        def decoded() -> T:
            try:
                return call()
            except ImageError as error:
                raise blame(images, error) from None

        def light() -> tuple[T, None] | None:
            return (decoded(), None) if inspect(images, pixels=self.settings.limits.pixels) <= LIGHT else None

        done = await (self.workers.run(light) if writes else self.workers.compute(light))
        return await self._in_lane(decoded) if done is None else done[0]

    async def _in_lane(self, call: Callable[[], T]) -> T:
        """The result of a call on large images, when it is its turn."""
        if not self._room:
            raise ProblemError("busy", f"too many requests of more than {LIGHT} pixels; try again later", retry_after=5)
        self._room -= 1
        try:
            return await self._heavy.run(call)
        finally:
            self._room += 1

    def close(self) -> None:
        """Finish what is being worked on."""
        self.workers.close()
        self._heavy.close()
        self.batcher.close()
        if self._gallery is not None:
            self._gallery.close()
