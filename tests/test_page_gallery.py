"""The gallery on the page, as a person uses it: adding, looking, removing, taking back, with a key and without."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from browser import (
    ATTACK,
    CHROMIUM,
    HOUSE,
    HOUSE_AGAIN,
    NO_CHROMIUM,
    Desk,
    desk,
    enroll,
    png,
    populated,
    served,
    upload,
)
from samekind.bundle import shipped

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM),
    pytest.mark.skipif("omniglot" not in shipped(), reason="the bundle omniglot is not in this checkout"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with populated(tmp_path_factory.mktemp("service")) as address:
        yield address


@pytest.fixture
def at(chromium: Browser, service: str) -> Iterator[Desk]:
    with desk(chromium, service) as open_page:
        yield open_page


def enrolled(address: str, name: str) -> list[dict[str, Any]]:
    """The identities of exactly this name."""
    found = httpx.get(f"{address}v1/identities", params={"search": name}, timeout=60).json()["identities"]
    return [one for one in found if one["name"] == name]


def until(done: Callable[[], bool]) -> None:
    """Wait for what the page does by itself."""
    for _ in range(100):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen within 10 seconds")


def test_an_identity_is_added_with_notes_and_taken_back(at: Desk, service: str) -> None:
    name = "Zoë \N{GREEK SMALL LETTER DELTA}"
    at.go("gallery/add")
    at.page.get_by_label("Name", exact=True).fill(name)
    at.choose("Pictures", *(upload(f"{number}.png", png(5, number)) for number in range(3)))
    at.page.get_by_text("Notes (optional)").click()
    at.page.get_by_label("What", exact=True).fill("shelf")
    at.page.get_by_label("Value").fill("B 12")
    at.page.get_by_role("button", name="Add 3 images").click()
    at.page.get_by_text("Added 3 images").wait_for()
    (one,) = enrolled(service, name)
    assert (one["samples"], one["metadata"]) == (3, {"shelf": "B 12"})
    at.page.get_by_role("button", name="Undo").click()
    at.page.get_by_text("3 images are no longer enrolled").wait_for()
    assert enrolled(service, name) == []


def test_what_is_dropped_on_the_gallery_is_there_to_be_added(at: Desk) -> None:
    at.go("gallery")
    at.page.locator(".people").evaluate(
        """(list, bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            list.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        list(png(4)),
    )
    expect(at.well("Pictures").get_by_role("img", name="dropped.png")).to_be_visible()


def test_doubts_are_shown_and_under_strict_they_refuse(at: Desk, service: str) -> None:
    at.go("gallery/add")
    at.page.get_by_label("Name", exact=True).fill("Copycat")
    at.page.locator("#strict").check()
    at.choose("Pictures", upload("copy.png", png(2)))
    at.page.get_by_role("button", name="Add 1 image").click()
    outcome = at.page.locator(".outcome")
    expect(outcome).to_contain_text("Nothing was added")
    expect(outcome).to_contain_text("Bolt M8")
    assert enrolled(service, "Copycat") == []
    at.page.get_by_role("button", name="Add them anyway").click()
    expect(outcome).to_contain_text("Added 1 image")
    expect(outcome.locator(".remarks li")).not_to_have_count(0)
    (copy,) = enrolled(service, "Copycat")
    httpx.delete(f"{service}v1/identities/{copy['id']}")


def test_undo_takes_back_what_is_still_there_though_a_part_is_gone_or_fails(at: Desk, service: str) -> None:
    at.go("gallery/add")
    at.page.get_by_label("Name", exact=True).fill("Parts")
    at.choose("Pictures", *(upload(f"{number}.png", png(number // 8 + 20, number % 8)) for number in range(45)))
    sent: list[str] = []
    at.page.on("request", lambda request: sent.append(request.url) if request.method == "DELETE" else None)
    with at.page.expect_response("**/v1/identities") as first:
        at.page.get_by_role("button", name="Add 45 images").click()
    at.page.get_by_text("Added 45 images").wait_for()
    refusals = iter([False, True])  # the last enrolment is undone, the middle one fails, once
    at.page.route(
        "**/v1/enrolments/*", lambda route: route.fulfill(status=500) if next(refusals, False) else route.fallback()
    )
    at.page.get_by_role("button", name="Undo").click()
    expect(at.page.locator(".outcome .complaint")).to_have_count(1)
    assert enrolled(service, "Parts")[0]["samples"] == 40
    httpx.delete(f"{service}v1/enrolments/{first.value.json()['id']}").raise_for_status()  # by somebody else
    at.page.get_by_role("button", name="Undo").click()
    at.page.get_by_text("45 images are no longer enrolled").wait_for()
    assert enrolled(service, "Parts") == []
    assert (len(sent), len(set(sent))) == (4, 3)  # only what failed was asked for again


def test_what_was_added_before_the_rest_was_added_anyway_is_taken_back_too(
    at: Desk, service: str, tmp_path: Path
) -> None:
    for name, kind in (("Clear", 30), ("Doubtful", 2)):
        part = tmp_path / "mixed" / name
        part.mkdir(parents=True)
        (part / "a.png").write_bytes(png(kind))
    at.go("gallery/add")
    at.page.locator("#strict").check()
    at.page.locator("input[webkitdirectory]").set_input_files(tmp_path / "mixed")
    at.page.get_by_role("button", name="Add 2 identities, 2 images").click()
    at.page.get_by_text("Added 1 image").wait_for()
    at.page.get_by_role("button", name="Add them anyway").click()
    at.page.get_by_text("Added 2 images to 2 identities").wait_for()
    assert enrolled(service, "Clear")
    assert enrolled(service, "Doubtful")
    at.page.get_by_role("button", name="Undo").click()
    at.page.get_by_text("2 images are no longer enrolled").wait_for()
    assert enrolled(service, "Clear") == enrolled(service, "Doubtful") == []


def test_a_bad_picture_does_not_lose_the_others(at: Desk, service: str) -> None:
    at.go("gallery/add")
    at.page.get_by_label("Name", exact=True).fill("Mixed")
    at.choose("Pictures", upload("good.png", png(6)), upload("broken.png", png(6)[:60]), upload("fine.png", png(6, 1)))
    at.page.get_by_role("button", name="Add 3 images").click()
    outcome = at.page.locator(".outcome")
    expect(outcome).to_contain_text("Added 2 images")
    expect(outcome).to_contain_text("broken.png")
    (mixed,) = enrolled(service, "Mixed")
    assert mixed["samples"] == 2
    httpx.delete(f"{service}v1/identities/{mixed['id']}")


def test_a_folder_becomes_many_identities_page_by_page(at: Desk, service: str, tmp_path: Path) -> None:
    for index in range(26):
        part = tmp_path / "stock" / f"Part {index:02d}"
        part.mkdir(parents=True)
        (part / "a.png").write_bytes(png(10 + index % 28, index // 28))
    at.go("gallery/add")
    at.page.locator("input[webkitdirectory]").set_input_files(tmp_path / "stock")
    at.page.get_by_role("button", name="Add 26 identities, 26 images").click()
    at.page.get_by_text("Added 26 images").wait_for()
    at.page.get_by_role("link", name="← Gallery").first.click()
    cards = at.page.locator(".person")
    expect(cards).to_have_count(24)
    at.page.get_by_role("button", name="more").click()
    expect(cards).to_have_count(29)
    expect(at.page.locator(".people")).to_contain_text(ATTACK)
    at.page.get_by_label("Search by name").fill("part 2")
    expect(cards).to_have_count(6)
    expect(cards.first.locator("img")).to_have_js_property("complete", True)
    at.page.get_by_label("Search by name").fill("nobody of this name")
    at.page.get_by_text("No such name").wait_for()
    at.page.get_by_role("button", name="Show all").click()
    expect(cards).to_have_count(24)
    for one in httpx.get(f"{service}v1/identities", params={"search": "Part ", "limit": 50}).json()["identities"]:
        httpx.delete(f"{service}v1/identities/{one['id']}")


def test_a_removal_can_be_taken_back_until_it_is_sent(at: Desk, service: str) -> None:
    enroll(service, "Leaving", png(7), png(7, 1))
    at.go("gallery")
    card = at.page.locator(".person").filter(has_text="Leaving")
    card.get_by_role("button", name="Remove Leaving").click()
    expect(card).to_be_hidden()
    assert enrolled(service, "Leaving")  # nothing was sent yet
    at.page.get_by_role("button", name="Undo").click()
    expect(card).to_be_visible()
    card.get_by_role("link").click()
    at.page.get_by_role("heading", name="Leaving").wait_for()
    at.page.get_by_role("button", name="Remove image 1").click()
    at.page.get_by_role("button", name="Close").click()  # does not wait for the time to be over
    expect(at.page.locator(".samples li")).to_have_count(1)
    until(lambda: enrolled(service, "Leaving")[0]["samples"] == 1)
    at.page.get_by_role("button", name="Remove this identity").click()
    at.page.get_by_text("Removed Leaving").wait_for()
    at.page.goto("about:blank")  # who leaves has not taken it back
    until(lambda: not enrolled(service, "Leaving"))


def test_pictures_are_added_to_an_identity_that_is_there(at: Desk, service: str) -> None:
    made = enroll(service, "Growing", png(8))
    at.go(f"gallery/{made['identity']['id']}")
    at.choose("Add pictures", upload("more.png", png(8, 1)), upload("again.png", png(8)))
    at.page.get_by_role("button", name="Add", exact=True).last.click()
    at.page.get_by_text("1 image was enrolled there already").wait_for()
    expect(at.page.locator(".samples li")).to_have_count(2)
    httpx.delete(f"{service}v1/identities/{made['identity']['id']}")


def test_what_is_drawn_is_like_what_characters_were_learned_from(at: Desk, service: str) -> None:
    at.go("gallery/add")
    at.page.get_by_label("Name", exact=True).fill("By hand")
    at.draw("Pictures", HOUSE)
    at.well("Pictures").get_by_role("button", name="Next").click()
    at.draw("Pictures", HOUSE_AGAIN)
    at.page.get_by_role("button", name="Add 2 images").click()
    at.page.get_by_text("Added 2 images").wait_for()
    (made,) = enrolled(service, "By hand")
    items = httpx.get(f"{service}v1/identities/{made['id']}").json()["items"]
    drawn = Image.open(io.BytesIO(httpx.get(f"{service}v1/samples/{items[0]['id']}/image").content)).convert("L")
    assert drawn.size == (105, 105)
    assert drawn.getpixel((0, 0)) == 255
    ink = sum(drawn.histogram()[:128]) / 105**2
    assert 0.03 < ink < 0.12  # as of nine in ten of Omniglot's drawings
    httpx.delete(f"{service}v1/identities/{made['id']}")


def test_what_is_gone_is_said_so(at: Desk) -> None:
    at.go(f"gallery/{'0' * 32}")
    at.page.get_by_text("It is not enrolled").wait_for()


def test_a_service_with_keys_asks_for_one(chromium: Browser, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    create = [
        sys.executable,
        "-m",
        "samekind",
        "keys",
        "create",
        "desk",
        "--scope",
        "admin",
        "--keys",
        str(keys),
        "--json",
    ]
    key = json.loads(subprocess.run(create, capture_output=True, check=True).stdout)["key"]
    with served(tmp_path, "--gallery", "gallery.sqlite", "--keys", str(keys)) as address, desk(chromium, address) as at:
        at.page.goto(f"{address}#gallery")
        field = at.page.get_by_label("API key")
        field.fill("wrong")
        field.press("Enter")
        at.page.get_by_text("The last key was not accepted").wait_for()
        at.page.get_by_label("API key").fill(key)
        at.page.get_by_role("button", name="Use this key").click()
        at.page.get_by_text("Nobody is enrolled yet").wait_for()
        at.page.get_by_role("link", name="Add the first").click()
        at.page.get_by_label("Name", exact=True).fill("Keyed")
        at.choose("Pictures", upload("a.png", png(9)))
        at.page.get_by_role("button", name="Add 1 image").click()
        at.page.get_by_role("link", name="Look at it").click()
        expect(at.page.get_by_role("img", name="Image 1 of Keyed")).to_have_js_property("complete", True)
        at.page.get_by_role("button", name="Forget the key").click()
        at.page.get_by_label("API key").wait_for()
