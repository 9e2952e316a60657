"""Draws docs/page.png: the page of a running service that compares two drawings, in a real browser.

Run: samekind serve --no-gallery, and beside it: python docs/page.py http://127.0.0.1:8000
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

COLOURS = 128


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("page.png"))
    arguments = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 920, "height": 1010}, device_scale_factor=1.5)
        page.goto(arguments.address)
        page.get_by_role("button", name="Show me an example").click()
        page.locator(".verdict").wait_for()
        page.get_by_role("heading", name="Are these two").click()  # away from what was pressed
        taken = page.screenshot()
        browser.close()
    Image.open(io.BytesIO(taken)).convert("RGB").quantize(COLOURS).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
