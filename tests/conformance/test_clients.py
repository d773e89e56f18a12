"""Real clients, cut in the middle of events, drained and sent away: each ends with every comment once, in order.

All of them live through one story at once, by way of HAProxy and nginx as they are recommended.
"""

import asyncio

import orjson
import pytest

from tests.conformance.deployment import Deployment
from tests.conformance.programs import JS, why_missing
from tests.conformance.relay import BEGUN, END, RESET
from tests.conformance.story import Story, tell
from tests.conformance.viewers import Viewer, everybody
from tests.npm import bring_packages

pytestmark = pytest.mark.timeout(400)  # the first test waits for the whole story


@pytest.fixture(scope="module")
def story(deployment: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Story:
    if reason := bring_packages(JS):
        pytest.skip(reason)
    story = asyncio.run(tell(deployment, tmp_path_factory.mktemp("story")))
    print(story.took_s)
    return story


@pytest.fixture(params=[viewer.name for viewer in everybody()])
def viewer(request: pytest.FixtureRequest, story: Story) -> Viewer:
    name: str = request.param
    if name not in story.viewers:
        asked = {viewer.name: viewer for viewer in everybody()}[name]
        pytest.skip(why_missing(asked.program) or f"No {asked.balancer} here: apt-get install {asked.balancer}")
    return story.viewers[name]


def test_every_comment_came_once_and_in_order(viewer: Viewer, story: Story) -> None:
    assert viewer.late_for is None
    assert [event.id for event in viewer.comments] == [comment_id for comment_id, _ in story.truth]
    came = [orjson.loads(event.data) for event in viewer.comments]
    assert [(comment["commentId"], comment["message"]) for comment in came] == story.truth
    assert {event.kind for event in viewer.events} <= {"comment", "heartbeat", "video", "stale", "bye", "begin"}


def test_everybody_joined_by_the_transport_lane(story: Story) -> None:
    assert story.lanes == {"transport": len(story.viewers), "asgi": 0}


def test_it_went_through_all_that_the_story_says(viewer: Viewer, story: Story) -> None:
    opened = story.opened[viewer.name]
    assert {cut for stream in opened for cut in stream.cuts} == {RESET, BEGUN, END}
    assert any(stream.is_own_page for stream in opened)
    assert "drain" in {orjson.loads(event.data)["reason"] for event in viewer.events if event.kind == "bye"}
    assert {stream.is_gzip for stream in opened if not stream.is_no_stream} == {viewer.form != "plain"}


def test_who_is_drained_is_taken_by_the_other_edge_at_once(viewer: Viewer, story: Story) -> None:
    """Also when that one had been away itself: nginx once gave it one viewer every two seconds."""
    pages = [stream.head for stream in story.opened[viewer.name] if stream.is_own_page]
    assert story.pages[viewer.name] == 0, pages


def test_it_came_back_with_the_last_id_it_saw(viewer: Viewer, story: Story) -> None:
    ids = {event.id for event in viewer.events}
    first, *others = story.opened[viewer.name]
    assert first.last_event_id == ""
    assert len(others) >= 4
    assert all(stream.last_event_id in ids for stream in others)


def test_the_beginning_of_a_stream_is_an_event_to_those_readers_alone_that_the_docs_name(viewer: Viewer) -> None:
    """docs/GOTCHAS.md: WebKit joins what it has of a cut event to it; httpx-sse tells events without data."""
    begun = [event.data for event in viewer.events if event.kind == "begin"]
    if viewer.program == "webkit":
        assert len(begun) == 2
        assert all(data.startswith('{"commentId":') for data in begun)
    elif viewer.program == "httpx-sse":
        assert set(begun) == {""}
    else:
        assert begun == []
