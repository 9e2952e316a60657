"""Threads that do the work of requests, so that the event loop stays free.

Knows callables and threads. Knows nothing of HTTP or of what is worked on.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


class Workers:
    """A pool of threads of which a few run at a time, and that counts what nobody waits for any more but still runs.

    Many threads that compute in Python hinder each other, and the event loop most of all: each gives the interpreter up
    only now and then. So a call runs only while it has one of a few turns, and leaves it to others while it waits.

    Args:
        threads: calls that have begun, at most; >= 1.
        turns: calls that run, at most; >= 1.
    """

    def __init__(self, threads: int, *, turns: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="samekind-worker")
        self._turns: SimpleQueue[None] = SimpleQueue()
        for _ in range(turns):
            self._turns.put(None)
        self._mine = threading.local()
        self._left = 0  # only touched in the event loop

    @property
    def left(self) -> int:
        """Calls that go on though their request has been given up; they cannot be stopped."""
        return self._left

    async def compute(self, call: Callable[[], T]) -> T:
        """As `run`, of a call that computes and hardly waits but in what `aside` made."""
        return await self.run(lambda: self._in_turn(call))

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

    def aside(self, wait: Callable[[A], T]) -> Callable[[A], T]:
        """A function that mostly waits, for calls that compute: it leaves their turn to others meanwhile."""

        def waiting(argument: A) -> T:
            if not getattr(self._mine, "turn", False):
                return wait(argument)
            self._turns.put(None)
            try:
                return wait(argument)
            finally:
                self._turns.get()

        return waiting

    def close(self) -> None:
        """Wait until everything is done; take nothing new."""
        self._pool.shutdown()

    def _in_turn(self, call: Callable[[], T]) -> T:
        self._turns.get()
        self._mine.turn = True
        try:
            return call()
        finally:
            self._mine.turn = False
            self._turns.put(None)

    def _back(self) -> None:
        self._left -= 1
