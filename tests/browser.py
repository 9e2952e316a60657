"""A service of its own and a browser to look at its page with, for the tests of the page.

Needs Chromium, which is not a Python package: without it the tests are skipped and say so.
"""

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx2 as httpx
from PIL import Image, ImageFilter
from playwright.sync_api import Browser, ConsoleMessage, FilePayload, Locator, Page, expect, sync_playwright

from samekind import LabelledImages, glyphs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "no Chromium on this machine (Debian: apt-get install chromium)"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 20_000  # ms, for a machine that is busy otherwise
DESKTOP, PHONE = (1200, 900), (360, 740)

Strokes = Sequence[Sequence[tuple[float, float]]]
"""Corners of lines, in fractions of the canvas."""

HOUSE: Strokes = (
    ((0.25, 0.8), (0.25, 0.45), (0.5, 0.2), (0.75, 0.45), (0.75, 0.8), (0.25, 0.8)),
    ((0.45, 0.8), (0.45, 0.6)),
)
HOUSE_AGAIN: Strokes = (
    ((0.28, 0.82), (0.27, 0.47), (0.5, 0.24), (0.77, 0.46), (0.76, 0.8), (0.28, 0.82)),
    ((0.47, 0.8), (0.46, 0.62)),
)
CROSS: Strokes = (((0.2, 0.5), (0.8, 0.5)), ((0.5, 0.2), (0.5, 0.8)))


ATTACK = "<img src=x onerror=alert(1)>"
ARABIC = "شركة النور"
"""Names that a page must show as they are."""


@contextmanager
def launched() -> Iterator[Browser]:
    """Chromium without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def served(folder: Path, *arguments: str) -> Iterator[str]:
    """A `samekind serve` of its own, ready: its address."""
    command = [sys.executable, "-m", "samekind", "serve", "--port", "0", "--json", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()  # it says where it is once it answers
            assert line, (folder / "serve.log").read_text(encoding="utf-8")
            yield json.loads(line)["url"] + "/"
        finally:
            process.terminate()
            process.communicate(timeout=30)


@cache
def drawings() -> LabelledImages:
    """Characters that a program drew, 8 drawings each."""
    return glyphs(40, 8, seed=5)


def png(kind: int, number: int = 0) -> bytes:
    """One of them as a file, by a broad pen: of some that are thin for their size the model cannot tell."""
    return encoded(drawings()[8 * kind + number][0].filter(ImageFilter.MinFilter(3)))


def encoded(image: Image.Image) -> bytes:
    """An image as a PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def upload(name: str, content: bytes, kind: str = "image/png") -> FilePayload:
    """A file as a person chooses it."""
    return {"name": name, "mimeType": kind, "buffer": content}


def enroll(address: str, name: str, *images: bytes) -> dict[str, Any]:
    """Enroll by the API: the enrolment."""
    files = [("image", (f"{number}.png", image, "image/png")) for number, image in enumerate(images)]
    answer = httpx.post(f"{address}v1/identities", data={"name": name}, files=files, timeout=60)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


@contextmanager
def populated(folder: Path) -> Iterator[str]:
    """A service whose gallery holds three identities: of one drawing, of two and of three."""
    with served(folder, "--gallery", "gallery.sqlite") as address:
        for name, kind, count in ((ATTACK, 0, 1), (ARABIC, 1, 2), ("Bolt M8", 2, 3)):
            enroll(address, name, *(png(kind, number) for number in range(count)))
        yield address


@dataclass
class Desk:
    """A page that somebody looks at, and what the browser complained of."""

    page: Page
    address: str
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _heard(self, message: ConsoleMessage) -> None:
        # that a request was refused is told by the page itself, and tests look for that
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            self.complaints.append(message.text)

    def go(self, where: str) -> "Desk":
        """Open a section by its address."""
        self.page.goto(f"{self.address}#{where}")
        self.page.locator("#foot strong").wait_for()  # the model was read
        return self

    def well(self, label: str) -> Locator:
        """A place for pictures of the section that is shown."""
        return self.page.get_by_role("group", name=label, exact=True)

    def choose(self, label: str, *files: FilePayload) -> None:
        """Choose files for a well."""
        self.well(label).locator("input[type=file]").set_input_files(list(files))

    def draw(self, label: str, strokes: Strokes) -> None:
        """Draw by mouse."""
        canvas = self.well(label).locator("canvas.pad")
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        for stroke in strokes:
            places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
            self.page.mouse.move(*places[0])
            self.page.mouse.down()
            for place in places[1:]:
                self.page.mouse.move(*place, steps=2)
            self.page.mouse.up()

    def verdict(self, word: str | re.Pattern[str]) -> Locator:
        """The answer of the section that is shown, once it is up to date and its headline is this word."""
        settled = self.page.locator('main > section:not([hidden]) .answer[aria-busy="false"]')
        expect(settled.locator(".word")).to_have_text(word)
        return settled

    def answer(self, *words: str | re.Pattern[str]) -> Locator:
        """The answer of the section that is shown, once it has all of these words."""
        region = self.page.get_by_role("region", name="Answer")
        for text in words:
            region.filter(has_text=text).wait_for()
        return region


@contextmanager
def desk(
    browser: Browser,
    address: str,
    *,
    size: tuple[int, int] = DESKTOP,
    scheme: Literal["light", "dark"] = "light",
    touch: bool = False,
) -> Iterator[Desk]:
    """A fresh page; in the end nothing may have been complained of, neither scripts nor the content policy."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, has_touch=touch, reduced_motion="reduce"
    )
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    open_page = Desk(context.new_page(), address)
    yield open_page
    context.close()
    assert open_page.complaints == []
