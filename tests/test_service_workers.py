"""Threads of the service: few run at a time, those that wait make room, and what is given up does not begin."""

import asyncio
import threading
import time
from contextlib import suppress

import pytest

from samekind.service.workers import Workers


def test_only_so_many_run_and_those_that_wait_make_room() -> None:
    workers = Workers(8, turns=2)
    running, most, lock = 0, 0, threading.Lock()
    everybody = threading.Barrier(8)

    def busy() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    meet = workers.aside(everybody.wait)

    def call() -> None:
        busy()
        meet(10.0)  # all eight come here, though only two may run
        busy()

    async def run() -> None:
        await asyncio.gather(*(workers.compute(call) for _ in range(8)))

    asyncio.run(run())
    assert most == 2
    workers.close()


def test_results_and_errors_come_back_and_turns_too() -> None:
    workers = Workers(2, turns=1)

    def divide(divisor: float) -> float:
        return 1 / divisor

    fail = workers.aside(divide)

    async def run() -> None:
        for _ in range(5):
            assert await workers.compute(lambda: fail(0.5)) == 2
            with pytest.raises(ZeroDivisionError):
                await workers.compute(lambda: fail(0.0))

    asyncio.run(run())
    assert fail(0.25) == 4  # whoever has no turn gives none away
    workers.close()


def test_what_waits_for_others_takes_no_turn() -> None:
    workers, go = Workers(3, turns=1), threading.Event()

    async def run() -> None:
        waiting = [asyncio.create_task(workers.run(lambda: go.wait(10))) for _ in range(2)]
        assert await workers.compute(lambda: 7) == 7
        go.set()
        assert await asyncio.gather(*waiting) == [True, True]

    asyncio.run(run())
    workers.close()


def test_work_that_has_not_begun_never_begins() -> None:
    workers, go = Workers(1, turns=1), threading.Event()
    done: list[int] = []

    async def run() -> None:
        first = asyncio.create_task(workers.run(lambda: go.wait(10)))
        second = asyncio.create_task(workers.run(lambda: done.append(2)))
        await asyncio.sleep(0.01)
        second.cancel()
        with suppress(asyncio.CancelledError):
            await second
        go.set()
        await first
        assert await workers.run(lambda: 3) == 3

    asyncio.run(run())
    assert (done, workers.left) == ([], 0)
    workers.close()
