"""Threads that do the work of requests, so that the event loop stays free.

Knows callables and threads. Knows nothing of HTTP or of what is worked on.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """A pool of threads that counts what nobody waits for any more, but what still runs.

    Args:
        threads: how many; >= 1.
    """

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="samekind-worker")
        self._left = 0  # only touched in the event loop

    @property
    def left(self) -> int:
        """Calls that go on though their request has been given up; they cannot be stopped."""
        return self._left

    async def run(self, call: Callable[[], T]) -> T:
        """The result of a call in one of the threads. One that has not begun when the wait is given up never begins."""
        future: Future[T] = self._pool.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancelled() and not future.done():
                self._left += 1
                loop = asyncio.get_running_loop()
                future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._back))
            raise

    def close(self) -> None:
        """Wait until everything is done; take nothing new."""
        self._pool.shutdown()

    def _back(self) -> None:
        self._left -= 1
