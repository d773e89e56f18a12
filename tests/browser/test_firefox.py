"""The page in Firefox: what may differ from engine to engine, one line of it after the other in one window."""

from typing import Any

import pytest

from tests.browser.test_looks import MODERATOR, OFFLINE, OWNER, SIZES, ZOOMED, Looks, looks
from tests.browser.test_stage import FILM_PX_MIN
from tests.gateway.test_answers import signed

__all__ = ["looks"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(400),
    pytest.mark.parametrize("looks", ["firefox"], indirect=True),
]

TYPE = """(() => {
  message.value = "half a thought";
  message.dispatchEvent(new Event("input"));
})()"""
RENAME = """(() => {
  document.getElementById("change").click();
  document.getElementById("name").value = "Benjamin";
  message.value = "by another name";
  message.dispatchEvent(new Event("input"));
  composer.requestSubmit();
})()"""
STALE = """(() => {
  const [key] = Object.keys(localStorage).filter((each) => each.startsWith("livecomments.session"));
  localStorage.setItem(key, JSON.stringify({ ...JSON.parse(localStorage.getItem(key)), takenAt: 0 }));
  const { sessionToken } = JSON.parse(localStorage.getItem(key));
  window.before = sessionToken;
  window.token = () => JSON.parse(localStorage.getItem(key)).sessionToken;
})()"""
COVERED = """(() => {
  Object.defineProperty(visualViewport, "height", { get: () => 480, configurable: true });
  visualViewport.dispatchEvent(new Event("resize"));
})()"""
PLACES = """["#film", "#message", "#send", "#play"].map((each) => {
  const { left, top, right, bottom } = document.querySelector(each).getBoundingClientRect();
  return [left, top, innerWidth - right, innerHeight - bottom, right - left, bottom - top];
}).concat([[document.documentElement.scrollWidth <= innerWidth]])"""
TEXTS = """[...rows.querySelectorAll(".row:not(.leaving) .text")].map((each) => each.textContent).join("|")"""


async def is_all_there(looks: Looks, width: int, height: int) -> None:
    """Film, box and buttons in the window, of a size, and nothing beside it."""
    await looks.window.resize(width, height)
    await looks.until(f"innerWidth === {width} && innerHeight === {height}")
    *places, (fits,) = await looks.window.run(PLACES)
    assert fits, (width, height)
    for place in places:
        assert min(place[:4]) >= -1, (width, height, places)
    assert min(places[0][4:]) >= FILM_PX_MIN
    assert min(places[2][4:] + places[3][4:]) >= 40


async def test_what_one_writes_and_who_one_is_survive(looks: Looks) -> None:
    await looks.open("launch")
    await looks.say("hello")
    await looks.until("rows.children.length === 1 && !pending.children.length")
    await looks.window.run(OFFLINE)
    await looks.say("on its way")
    await looks.until("pending.children.length === 1")
    await looks.window.run(TYPE)
    await looks.open("launch")
    assert await looks.window.run("message.value") == "half a thought"
    await looks.until(f"{TEXTS} === 'hello|on its way' && !pending.children.length")

    of = "rows.firstElementChild.dataset.author"
    author = await looks.window.run(of)
    await looks.window.run(RENAME)
    await looks.until("rows.children.length === 3 && !pending.children.length")
    await looks.window.run(STALE)
    await looks.say("and later")
    await looks.until("rows.children.length === 4 && !pending.children.length")
    assert await looks.window.run("token() !== before"), "more than half of its life was over: it was renewed"
    await looks.open("launch")
    await looks.until("rows.children.length === 4 && rows.querySelectorAll('.own').length === 4")
    assert await looks.window.run("as.textContent") == "Benjamin"
    assert await looks.window.run("[...rows.children].map((row) => row.dataset.author)") == [author] * 4
    names = "[...rows.querySelectorAll('.name')].map((each) => each.textContent)"
    assert await looks.window.run(names) == ["Ben", "Ben", "Benjamin", "Benjamin"]


async def test_what_is_read_aloud_and_what_is_not(looks: Looks) -> None:
    await looks.open("launch")
    assert await looks.window.run("said.role + scroller.role + scroller.ariaLive") == "statuslogoff"
    for token, name in ((OWNER, "Mara Lindqvist"), (MODERATOR, "Idris")):
        await looks.act("POST", "/comments/launch", token, {"message": "quiet please"})
        await looks.until(f"said.textContent === '{name}: quiet please'")
    for number in range(10):
        await looks.act("POST", "/comments/launch", signed(sub=f"p{number}", name="Ana"), {"message": "me too"})
    await looks.until("rows.children.length === 12")
    assert await looks.window.run("said.textContent") == "Idris: quiet please"
    await looks.say("mine")
    await looks.until("said.textContent === 'Ben: mine'")


async def test_at_each_size_and_setting_all_of_it_is_there(looks: Looks) -> None:
    window: Any = looks.window
    await window.prefer("ui.prefersReducedMotion", 1)
    await looks.open("launch")
    assert await window.run("film.paused && play.dataset.state === 'paused'")
    for direction in ("ltr", "rtl"):
        await window.run(f"document.documentElement.dir = '{direction}'")
        for width, height in (*SIZES, (640, 400), (390, 420), ZOOMED):
            await is_all_there(looks, width, height)
    await window.prefer("browser.display.document_color_use", 2)
    await looks.until("matchMedia('(forced-colors: active)').matches")
    edges = "[send, play].map((each) => getComputedStyle(each).borderTopStyle)"
    assert await window.run(edges) == ["solid", "solid"]
    await window.resize(390, 844)
    await looks.until("innerHeight === 844")
    await window.run("import('/page/keyboard.js').then(() => null)")
    await window.run(COVERED)
    assert await window.run("document.body.offsetHeight") == 480
    assert await window.run("composer.getBoundingClientRect().bottom") <= 480
