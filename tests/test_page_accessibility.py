"""Nobody is kept out of the page: axe-core finds nothing serious, in any section and state, in light and dark."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser

from browser import CHROMIUM, DESKTOP, NO_CHROMIUM, PHONE, Desk, desk, encoded, enroll, png, served, upload
from samekind.bundle import shipped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM),
    pytest.mark.skipif("omniglot" not in shipped(), reason="the bundle omniglot is not in this checkout"),
]

BLANK = encoded(Image.new("L", (105, 105), 255))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with served(tmp_path_factory.mktemp("service"), "--gallery", "gallery.sqlite") as address:
        for kind in range(3):
            enroll(address, f"Part {kind}", png(kind), png(kind, 1))
        yield address


def check(at: Desk, state: str) -> None:
    """Nothing serious or critical is wrong with what is shown now."""
    results = Axe().run(at.page)
    found = [
        f"{one['id']} ({one['impact']}): {[node['html'][:200] for node in one['nodes']]}"
        for one in results.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert found == [], state


@pytest.mark.parametrize(("scheme", "size"), [("light", PHONE), ("dark", DESKTOP)])
def test_nobody_is_kept_out(
    chromium: Browser, service: str, scheme: Literal["light", "dark"], size: tuple[int, int], tmp_path: Path
) -> None:
    with desk(chromium, service, scheme=scheme, size=size) as at:
        at.go("compare")
        check(at, "compare, empty")
        at.page.get_by_role("button", name="Show me an example").click()
        at.verdict("Same")
        check(at, "compare, same")
        at.page.get_by_role("button", name="Start over").click()
        at.choose("Query", upload("blank.png", BLANK))
        at.choose("Reference", upload("a.png", png(3)), upload("b.png", png(3, 1)))
        at.verdict("Cannot tell")
        check(at, "compare, cannot tell")
        at.choose("Query", upload("other.png", png(0)))
        at.verdict("Different")
        check(at, "compare, different")

        at.go("identify")
        check(at, "identify, empty")
        at.choose("Picture", upload("who.png", png(1, 5)))
        at.verdict("Part 1")
        check(at, "identify, found")
        at.choose("Picture", upload("who.png", png(30)))
        at.verdict("Nobody here")
        check(at, "identify, nobody")

        at.go("gallery")
        at.page.locator(".person img").first.wait_for()
        check(at, "gallery")
        at.page.get_by_role("button", name="Remove Part 2").click()
        at.page.get_by_role("button", name="Undo").wait_for()
        check(at, "gallery, a removal that can be taken back")
        at.page.get_by_role("button", name="Undo").click()
        at.page.locator(".person .open").first.click()
        at.page.locator(".samples img").first.wait_for()
        check(at, "one identity")
        at.go("gallery/add")
        at.page.get_by_text("Notes (optional)").click()
        at.page.locator("#strict").check()
        at.page.get_by_label("Name", exact=True).fill(f"Copycat, {scheme}")
        at.choose("Pictures", upload("copy.png", png(2)))
        check(at, "adding")
        at.page.get_by_role("button", name="Add 1 image").click()
        at.page.get_by_text("Nothing was added").wait_for()
        check(at, "adding, refused")
        at.page.get_by_role("button", name="Add them anyway").click()
        at.page.get_by_text("Added 1 image").wait_for()
        check(at, "added, with concerns")
        for kind in ("Left", "Right"):
            (tmp_path / "stock" / kind).mkdir(parents=True)
            (tmp_path / "stock" / kind / "a.png").write_bytes(png(7))
        at.page.locator("input[webkitdirectory]").set_input_files(tmp_path / "stock")
        at.page.get_by_role("button", name="Add 2 identities").wait_for()
        check(at, "adding, a folder")

        at.go("model")
        at.page.get_by_label("Read it at a score").wait_for()
        check(at, "model")

        at.page.context.set_offline(True)
        at.page.get_by_role("link", name="Gallery").click()
        at.page.get_by_text("The service does not answer").wait_for()
        check(at, "offline")


def test_the_question_for_a_key_keeps_nobody_out(chromium: Browser, service: str) -> None:
    with desk(chromium, service, size=PHONE, scheme="dark") as at:
        refusal = '{"type": "about:blank", "title": "A key is needed", "status": 401, "detail": "a key is needed"}'
        at.page.route("**/v1/model", lambda route: route.fulfill(status=401, body=refusal))
        at.page.goto(service)
        at.page.get_by_label("API key").wait_for()
        check(at, "asking for a key")
        at.page.keyboard.press("Escape")
        at.page.get_by_text("This service answers only to those who have a key").wait_for()
        check(at, "without a key")
