"""What the routes work with: requests share forward passes, and large images keep nobody else waiting."""

import asyncio
import io
import threading
from functools import partial

import pytest
from PIL import Image

from samekind.bundle import Bundle
from samekind.data.glyphs import glyphs
from samekind.errors import ImageError
from samekind.service.problems import ProblemError
from samekind.service.service import LIGHT, Service
from samekind.service.settings import Limits, Settings
from samekind.verifier import Verifier


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.new("1", (width, height)).save(file, "PNG")
    return file.getvalue()


SMALL, HALF, LARGE = png(100, 100), png(LIGHT // 2000, 1000), png(LIGHT // 1000 + 1, 1000)


@pytest.fixture
def service(bundle: Bundle) -> Service:
    return Service(Verifier(bundle, threads=1), Settings())


@pytest.mark.parametrize("images", [{"image": [LARGE]}, {"query": [HALF], "reference": [HALF, SMALL]}])
def test_large_images_wait_for_each_other_and_nobody_waits_for_them(
    service: Service, images: dict[str, list[bytes]]
) -> None:
    go, begun = threading.Event(), []

    def large() -> bool:
        begun.append(1)
        return go.wait(20)

    async def run() -> None:
        waiting = [asyncio.create_task(service.work(images, large)) for _ in range(1000)]
        for _ in range(20):
            assert await asyncio.wait_for(service.work({"image": [SMALL]}, lambda: 7), 10) == 7
        done, pending = await asyncio.wait(waiting, timeout=2)
        assert 0 < len(begun) < len(pending) < 1000
        for one in done:
            error = one.exception()
            assert isinstance(error, ProblemError)
            assert (error.kind, error.retry_after) == ("busy", 5)
        go.set()
        assert await asyncio.gather(*pending) == [True] * len(pending)
        assert len(begun) == len(pending)
        assert await service.work({"image": [LARGE]}, lambda: 8) == 8  # there is room again

    asyncio.run(run())
    service.close()


def test_a_call_on_images_that_are_refused_never_runs(bundle: Bundle) -> None:
    service, ran = Service(Verifier(bundle, threads=1), Settings(Limits(pixels=9_999))), []

    async def run() -> None:
        with pytest.raises(ImageError, match="image: expected an image of 1 to 9999 pixels"):
            await service.work({"image": [SMALL]}, lambda: ran.append(1))

    asyncio.run(run())
    assert ran == []
    service.close()


def test_requests_share_forward_passes(bundle: Bundle) -> None:
    sizes: list[int] = []
    service = Service(Verifier(bundle, threads=1), Settings(), observe=sizes.append)
    drawings = []
    for image, _ in (glyphs(8, 1)[index] for index in range(8)):
        file = io.BytesIO()
        image.save(file, "PNG")
        drawings.append(file.getvalue())

    async def run() -> None:
        calls = [
            service.work({"query": [one], "reference": [one]}, partial(service.verifier.verify, one, one))
            for one in drawings * 4
        ]
        assert {decision.same for decision in await asyncio.gather(*calls)} == {True}

    asyncio.run(run())
    service.close()
    assert sum(sizes) == 64
    assert len(sizes) <= 16  # at least two requests a pass, on a machine however slow
