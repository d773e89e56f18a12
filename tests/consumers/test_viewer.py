"""The rules by which a viewer moves, one at a time. What they add up to is shown by the simulation."""

import orjson
import pytest

from livecomments.history.stretch import Source, Stretch
from livecomments_consumers.block import Block
from livecomments_consumers.viewer import STALE_INTERVAL_S, WAIT, Close, Fetch, Say, State, Viewer, Write
from livecomments_loadtest.sse import SseBlocks, SseEvent, parse_block
from livecomments_schemas.positions import comment_id, first_position
from tests.consumers.standing import StillFeed

START = first_position(1)
BEAT_S = 15.0


def viewer(position: int = START + 10, now: float = 0.0) -> Viewer:
    return Viewer(position, now, BEAT_S)


def events(frame: bytes) -> list[SseEvent]:
    return [parse_block(block) for block in SseBlocks().feed(frame)]


def test_at_the_head_it_waits_until_a_heartbeat_is_due() -> None:
    feed, one = StillFeed(), viewer()
    assert one.state(feed) is State.LIVE
    assert one.step(feed, BEAT_S - 0.001) is WAIT
    step = one.step(feed, BEAT_S)
    assert isinstance(step, Write)
    assert step.block.through == START + 10
    one.wrote(START + 10, BEAT_S)
    assert one.step(feed, BEAT_S) is WAIT


def test_behind_it_is_given_what_comes_next_or_asks_for_it() -> None:
    feed, one = StillFeed(), viewer(START + 4)
    assert one.state(feed) is State.BEHIND
    assert one.step(feed, 0.0) == Fetch(START + 4)
    feed.blocks[START + 4] = block = Block(START + 4, START + 5, START + 8, b"x", 1)
    assert one.step(feed, 0.0) == Write(block)
    one.wrote(block.through, 0.0)
    assert one.step(feed, 0.0) == Fetch(START + 8)


def test_behind_it_says_no_heartbeat_however_long_it_takes() -> None:
    assert viewer(START + 4).step(StillFeed(), 1_000.0) == Fetch(START + 4)


@pytest.mark.parametrize(("position", "fits"), [(3, False), (4, True), (5, True), (6, False), (8, False)])
def test_a_block_is_for_who_stands_between_what_came_before_it_and_its_first_entry(position: int, fits: bool) -> None:
    assert viewer(START + position).is_for(Block(START + 4, START + 6, START + 8, b"x", 1)) is fits


def test_who_leaves_takes_no_block_and_only_the_first_word_counts() -> None:
    one = viewer(START + 4)
    one.begin_bye("rotate", 1_234)
    one.begin_bye("drain", 9)
    assert not one.is_for(Block(START + 4, START + 6, START + 8, b"x", 1))
    step = one.step(StillFeed(), 0.0)
    assert isinstance(step, Close)
    assert step.reason == "rotate"
    (bye,) = events(step.frame)
    assert (bye.kind, bye.id, bye.retry_ms, bye.data) == (b"bye", None, 1_234, b'{"reason":"rotate"}')


def test_a_position_never_goes_back() -> None:
    one = viewer()
    one.wrote(START + 2, 1.0)
    one.moved(START + 3)
    assert one.position == START + 10
    one.moved(START + 11)
    assert (one.position, one.written_at) == (START + 11, 1.0)


def test_silence_is_said_instead_of_heartbeats_and_now_and_then_again() -> None:
    feed, one = StillFeed(silent_s=7.25), viewer()
    step = one.step(feed, STALE_INTERVAL_S)
    assert isinstance(step, Say)
    (stale,) = events(step.frame)
    assert (stale.kind, stale.id, orjson.loads(stale.data or b"")) == (b"stale", None, {"behindMs": 7_250})
    assert one.step(feed, STALE_INTERVAL_S) is WAIT
    assert isinstance(one.step(feed, 2 * STALE_INTERVAL_S), Say)
    feed.silent_s = 0.0
    assert isinstance(one.step(feed, BEAT_S), Write)


def test_when_the_video_is_over_it_leaves_as_soon_as_it_has_all_of_it() -> None:
    feed, one = StillFeed(ended_at=START + 9), viewer(START + 9)
    assert one.step(feed, 0.0) == Fetch(START + 9), "something came after the end: a delete"
    one.moved(START + 10)
    step = one.step(feed, 0.0)
    assert isinstance(step, Close)
    beat, bye = events(step.frame)
    assert (beat.kind, beat.id) == (b"heartbeat", comment_id(START + 10, 3).encode())
    assert (bye.kind, bye.id, bye.retry_ms, bye.data) == (b"bye", None, 2_500, b'{"reason":"ended"}')


def test_an_end_that_is_still_to_be_flushed_is_waited_for() -> None:
    assert viewer().step(StillFeed(ended_at=START + 11), 0.0) is WAIT


def test_whoever_is_ahead_of_the_feed_may_know_that_the_video_went_on() -> None:
    assert viewer(START + 12).step(StillFeed(ended_at=START + 9), 0.0) is WAIT


def test_when_the_log_went_back_it_is_told_once_and_goes_on_from_there() -> None:
    feed, one = StillFeed(resets=1, reset_at=START + 6, head=START + 6), viewer()
    step = one.step(feed, 0.0)
    assert isinstance(step, Say)
    (gap,) = events(step.frame)
    assert gap.id == comment_id(START + 6, 3).encode()
    assert orjson.loads(gap.data or b"") == {
        "from": comment_id(START + 10, 3),
        "to": comment_id(START + 6, 3),
        "reason": "unknown_position",
    }
    assert one.position == START + 6
    assert one.step(feed, 0.0) is WAIT


def test_what_is_missed_is_said_from_where_it_stands_and_what_is_fetched_begins_there() -> None:
    one = viewer(START + 4)
    said = one.missed(START + 8, "history_behind", StillFeed())
    assert said.through == START + 8
    (gap,) = events(said.frame)
    assert gap.id == comment_id(START + 8, 3).encode()
    block = one.fetched(Stretch([], START + 9, Source.STORE)).block
    assert (block.after, block.through, block.data) == (START + 4, START + 9, b"")
    assert one.is_for(block)


def test_what_is_so_of_the_video_is_told_once_when_all_before_it_was_written() -> None:
    feed, one = StillFeed(version=1, said_at=START + 10), viewer(START + 9)
    feed.blocks[START + 9] = Block(START + 9, START + 10, START + 10, b"last", 1)
    step = one.step(feed, 0.0)
    assert isinstance(step, Write)
    assert step.block.data == b"last"
    one.wrote(START + 10, 0.0)
    step = one.step(feed, 0.0)
    assert isinstance(step, Write)
    assert (step.block.data, step.block.through) == (b"video 1", START + 10)
    assert one.step(feed, 0.0) is WAIT
    feed.version, feed.said_at = 2, START + 11  # its record is not flushed yet
    assert one.step(feed, 0.0) is WAIT
    assert not one.may_stand(feed)


def test_who_was_greeted_knows_what_is_so_and_who_steps_out_keeps_what_it_knows() -> None:
    feed, one = StillFeed(version=3), viewer()
    assert one.greet(feed).block.data == b"beat video 3"
    one.step_out()
    assert one.step(feed, 0.0) is WAIT
    assert one.may_stand(feed)


def test_that_a_video_has_ended_is_told_before_the_end() -> None:
    feed, one = StillFeed(version=1, ended_at=START + 10, said_at=START + 10), viewer()
    step = one.step(feed, 0.0)
    assert isinstance(step, Write)
    assert step.block.data == b"video 1"
    assert isinstance(one.step(feed, 0.0), Close)
