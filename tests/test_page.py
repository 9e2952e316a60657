"""Comparing, identifying and the model's own page, as a person uses them: in a real browser, with a real service."""

import json
import re
from collections.abc import Iterator

import httpx2 as httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Browser, FileChooser, Route, expect

from browser import (
    ARABIC,
    CHROMIUM,
    CROSS,
    HOUSE,
    HOUSE_AGAIN,
    NO_CHROMIUM,
    PHONE,
    Desk,
    Strokes,
    desk,
    encoded,
    png,
    populated,
    upload,
)
from samekind import glyphs
from samekind.bundle import shipped
from samekind.images import Preprocessing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason=NO_CHROMIUM),
    pytest.mark.skipif("omniglot" not in shipped(), reason="the bundle omniglot is not in this checkout"),
]

BLANK = encoded(Image.new("L", (105, 105), 255))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with populated(tmp_path_factory.mktemp("service")) as address:
        yield address


@pytest.fixture
def at(chromium: Browser, service: str) -> Iterator[Desk]:
    with desk(chromium, service) as open_page:
        yield open_page


def test_two_drawings_of_one_character_are_the_same(at: Desk) -> None:
    at.go("compare")
    at.draw("Query", HOUSE)
    at.answer("the reference is still empty")
    at.draw("Reference", HOUSE_AGAIN)
    at.verdict("Same")
    answer = at.answer("95\N{NO-BREAK SPACE}% interval", "Threshold")
    expect(answer.get_by_role("img", name="Probability of same")).to_be_visible()
    expect(answer.locator(".seen canvas")).to_have_count(2)  # what the model saw of both
    at.well("Query").get_by_role("button", name="Clear").click()
    at.draw("Query", CROSS)
    at.verdict("Different")


AS_SEEN = """async ([picture, model]) => {
    const { asSeen } = await import(new URL("page/pictures.js", document.baseURI).href);
    const canvas = await asSeen(new Blob([Uint8Array.from(picture)]), model);
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return Array.from(data).filter((_, index) => index % 4 === 0);
}"""


@pytest.mark.parametrize(
    ("frame", "picture"),
    [
        (1.15, glyphs(1, 1).items[0]),
        (1.5, Image.fromarray(np.asarray(glyphs(1, 1).items[0])[:, 20:80])),
        (1.15, Image.new("L", (105, 60), 255)),
        (0.0, Image.fromarray(np.asarray(glyphs(1, 1).items[0])[10:80])),
    ],
    ids=["framed", "not square", "blank", "whole"],
)
def test_it_shows_what_the_model_sees(at: Desk, frame: float, picture: Image.Image | NDArray[np.uint8]) -> None:
    preprocessing = Preprocessing(size=48, frame=frame)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    model = {"size": 48, "channels": 1, "ground": preprocessing.ground, "frame": frame}
    at.go("compare")
    shown = np.array(at.page.evaluate(AS_SEEN, [list(encoded(image)), model])).reshape(48, 48)
    apart = np.abs(shown - preprocessing.pixels(image)[0])  # levels of 255
    assert apart.mean() < 8  # browsers resample in their own way


def test_a_stroke_is_taken_back_and_a_drawing_cleared(at: Desk) -> None:
    at.go("compare")
    at.draw("Query", HOUSE)
    at.draw("Reference", HOUSE_AGAIN)
    at.verdict("Same")
    well = at.well("Query")
    for _ in HOUSE:
        well.get_by_role("button", name="Undo").click()
    at.answer("the query is still empty")
    expect(well.get_by_role("button", name="Undo")).to_be_disabled()
    at.draw("Query", CROSS)
    at.page.keyboard.press("Control+z")
    at.verdict("Different")  # one line is left of the cross
    at.page.get_by_role("button", name="Start over").click()
    at.answer("Put something on both sides")


def test_what_is_added_to_an_example_does_not_stay_in_it(at: Desk) -> None:
    at.go("compare")
    example, over = (at.page.get_by_role("button", name=name) for name in ("Show me an example", "Start over"))
    example.click()
    at.draw("Query", CROSS)
    over.click()
    for _ in range(2):
        example.click()
        over.click()
    example.click()  # the first again
    for _ in range(2):
        at.well("Query").get_by_role("button", name="Undo").click()
    at.answer("the query is still empty")


def test_several_references_are_chosen_dropped_and_pasted(at: Desk) -> None:
    at.go("compare")
    at.choose("Query", upload("query.png", png(3)))
    at.choose("Reference", upload("one.png", png(3, 1)), upload("two.png", png(3, 2)))
    at.verdict("Same")
    hand_over(at, "drop", "Reference", png(3, 3))
    expect(at.well("Reference").locator(".tally")).to_have_text("3")
    hand_over(at, "paste", "Reference", png(3, 4))
    expect(at.well("Reference").locator(".tally")).to_have_text("4")
    expect(at.verdict("Same").locator(".seen li")).to_have_count(5)
    at.page.get_by_role("button", name="Swap").click()
    at.answer("with several references there is nothing to swap")
    for number in (3, 2, 1):
        at.well("Reference").get_by_role("button", name="Remove").nth(number).click()
    at.verdict("Same")
    before = at.well("Query").locator("img").get_attribute("src")
    at.page.get_by_role("button", name="Swap").click()
    expect(at.well("Reference").locator("img")).to_have_attribute("src", before or "")
    at.verdict("Same")


def hand_over(at: Desk, kind: str, label: str, content: bytes) -> None:
    """Drop or paste a picture."""
    at.well(label).evaluate(
        """(well, [kind, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, { type: "image/png" }));
            const how = { bubbles: true, cancelable: true, dataTransfer: data, clipboardData: data };
            const button = well.querySelector("button:not([hidden])");
            button.focus();
            if (kind === "paste") button.dispatchEvent(new ClipboardEvent(kind, how));
            else for (const name of ["dragover", "drop"]) well.dispatchEvent(new DragEvent(name, how));
        }""",
        [kind, list(content)],
    )


def test_it_says_that_it_cannot_tell_and_why(at: Desk) -> None:
    at.go("compare")
    at.choose("Query", upload("blank.png", BLANK))
    at.choose("Reference", upload("one.png", png(3)))
    at.verdict("Cannot tell")
    at.answer("query: saturated: all white")


def test_files_that_are_no_pictures_are_named(at: Desk) -> None:
    at.go("compare")
    at.choose("Query", upload("notes.txt", b"no picture", "text/plain"))
    expect(at.well("Query").get_by_role("alert")).to_have_text("No picture: notes.txt.")
    at.choose("Query", upload("broken.png", png(3)[:60]))
    at.choose("Reference", upload("one.png", png(3)))
    at.answer("An image cannot be read")
    at.choose("Query", upload("whole.png", png(3, 1)))
    at.verdict("Same")


def test_somebody_enrolled_is_found_with_pictures_and_the_others_ranked(at: Desk) -> None:
    at.go("identify")
    at.choose("Picture", upload("who.png", png(1, 5)))
    answer = at.answer("Found among")
    candidates = answer.locator(".candidates li")
    expect(candidates.first).to_contain_text(ARABIC)
    expect(candidates.first.get_by_role("img")).to_have_js_property("complete", True)
    assert candidates.count() >= 3
    chances = [
        float(text.split("\N{NO-BREAK SPACE}")[0].strip("<> "))
        for text in candidates.locator("strong").all_inner_texts()
    ]
    assert chances == sorted(chances, reverse=True)


def test_nobody_and_cannot_tell_are_answers(at: Desk) -> None:
    at.go("identify")
    at.draw("Picture", CROSS)
    at.verdict("Nobody here")
    at.answer("it takes")
    at.well("Picture").get_by_role("button", name="Clear").click()
    at.choose("Picture", upload("blank.png", BLANK))
    at.verdict("Cannot tell")
    at.answer("saturated")


def test_the_model_says_how_sure_it_is(at: Desk, service: str) -> None:
    known = httpx.get(f"{service}v1/model").json()
    at.go("model")
    plot = at.page.get_by_role("img", name="Probability of same over the score")
    points = (plot.locator("polyline").get_attribute("points") or "").split()
    assert len(points) == len(known["calibration"]["curve"])
    reading = at.page.locator("output")
    before = reading.inner_text()
    at.page.get_by_label("Read it at a score").press("End")
    expect(reading).not_to_have_text(before)
    last = known["calibration"]["curve"][-1]
    expect(reading).to_contain_text(f"score {last['score']:.2f}")
    body = at.page.locator("#model")
    expect(body).to_contain_text(f"{known['calibration']['classes']} classes")
    expect(body).to_contain_text(known["fingerprint"][:16])
    for one in known["evaluations"]:
        expect(body).to_contain_text(one["protocol"])


def test_a_busy_service_is_waited_for_and_a_lost_one_is_named(at: Desk) -> None:
    turned_away: list[str] = []

    def turn_away(route: Route) -> None:
        turned_away.append(route.request.url)
        document = {"type": "about:blank", "title": "Too busy", "status": 503, "detail": "try again"}
        route.fulfill(status=503, headers={"Retry-After": "1"}, body=json.dumps(document))

    at.go("compare")
    at.page.route("**/v1/verify", turn_away, times=1)
    at.page.get_by_role("button", name="Show me an example").click()
    at.page.get_by_text("The service is busy. Trying again in 1 s").wait_for()
    at.verdict("Same")
    assert len(turned_away) == 1
    at.page.context.set_offline(True)
    at.well("Query").get_by_role("button", name="Undo").click()
    at.answer("The service does not answer")
    at.page.context.set_offline(False)
    at.page.get_by_role("button", name="Try again").click()
    at.verdict(re.compile("Same|Different|Cannot tell"))


def test_the_keyboard_is_enough(at: Desk) -> None:
    choosers: list[FileChooser] = []
    at.page.on("filechooser", lambda one: choosers.append(one))  # noqa: PLW0108 - a bound method cannot be marked
    at.page.goto(at.address)
    at.page.locator("#foot strong").wait_for()
    press = at.page.keyboard.press
    press("Tab")
    expect(at.page.get_by_role("link", name="Skip to content")).to_be_focused()
    press("Enter")
    expect(at.page.locator("main")).to_be_focused()
    for label, content in (("Query", png(3)), ("Reference", png(3, 1))):
        button = at.well(label).get_by_role("button", name="Choose")
        for _ in range(8):
            press("Tab")
            if button.evaluate("one => one === document.activeElement"):
                break
        press("Enter")
        for _ in range(100):
            if choosers:
                break
            at.page.wait_for_timeout(50)
        choosers.pop().set_files(upload(f"{label}.png", content))
    at.verdict("Same")
    link = at.page.get_by_role("link", name="Gallery")
    link.focus()
    press("Enter")
    expect(at.page.get_by_role("heading", name="Gallery")).to_be_focused()
    press("Tab")
    expect(at.page.get_by_label("Search by name")).to_be_focused()


def test_a_finger_draws_on_a_phone_and_nothing_is_cut_off(chromium: Browser, service: str) -> None:
    with desk(chromium, service, size=PHONE, touch=True) as at:
        for section in ("identify", "gallery", "gallery/add", "model", "compare"):
            at.go(section)
            at.page.wait_for_load_state("networkidle")
            assert at.page.evaluate("document.documentElement.scrollWidth") == PHONE[0], section
            small = at.page.evaluate(
                """() => [...document.querySelectorAll("button, nav a, a.button, input:not(.unseen)")]
                    .filter((one) => one.checkVisibility()).map((one) => [one.textContent, one.getBoundingClientRect()])
                    .filter(([, box]) => Math.min(box.width, box.height) < 24).map(([text]) => text)"""
            )
            assert small == [], section
        well = at.well("Query")
        well.locator("canvas.pad").tap()  # a finger on the paper begins to draw
        well.get_by_role("button", name="Back").wait_for()
        swipe(at, "Query", HOUSE)
        at.answer("the reference is still empty")
        at.well("Reference").get_by_role("button", name="Draw").click()
        swipe(at, "Reference", HOUSE_AGAIN)
        at.verdict("Same")


def swipe(at: Desk, label: str, strokes: Strokes) -> None:
    """Draw by finger."""
    canvas = at.well(label).locator("canvas.pad")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    session = at.page.context.new_cdp_session(at.page)
    for stroke in strokes:
        for index, (x, y) in enumerate(stroke):
            point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
            kind = "touchMove" if index else "touchStart"
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()
