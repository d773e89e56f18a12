"""Every check finds the failure planted for it, and nothing in a right run."""

import pytest

from livecomments_loadtest.checks import CHECKS, range_of
from livecomments_loadtest.ledger import Ack, Answers, Event, EventKind, Trace, VideoLedger, Walk
from livecomments_loadtest.schedule import Mode


def an_id(n: int) -> str:
    return f"{n:016d}"


def comment(n: int, digest: int | None = None) -> Event:
    return Event(EventKind.COMMENT, an_id(n), n if digest is None else digest)


def delete(n: int, target: int) -> Event:
    return Event(EventKind.DELETE, an_id(n), other=an_id(target))


def mark(n: int) -> Event:
    return Event(EventKind.MARK, an_id(n))


def gap(after: int, to: int) -> Event:
    return Event(EventKind.GAP, an_id(to), other=an_id(after))


def a_video(*acked: int) -> VideoLedger:
    """A video whose comments have their number as digest, sent at that second and acknowledged half a second later."""
    video = VideoLedger("v")
    for n in acked:
        video.acknowledge(an_id(n), Ack(n, float(n), n + 0.5))
    return video


def seen(video: VideoLedger, *events: Event, covers_after: str | None = None) -> Trace:
    trace = Trace(len(video.traces), covers_after=covers_after)
    trace.events.extend(map(video.number, events))
    trace.arrived(1.0)
    video.traces.append(trace)
    return trace


def walked(video: VideoLedger, *ids: int, sort: str = "asc", digest: int | None = None, complete: bool = True) -> None:
    items = [(an_id(n), n if digest is None else digest) for n in ids]
    video.walks.append(Walk(sort, 7, items, complete))


def found(video: VideoLedger) -> dict[str, int]:
    counts = {name: len(list(check(video))) for name, check in CHECKS.items()}
    return {name: count for name, count in counts.items() if count}


def test_a_right_run_has_no_findings() -> None:
    video = a_video(1, 3, 5, 7)
    video.deletes[an_id(3)] = True
    video.answers.append(Answers(0, False, ((an_id(1), 1), (an_id(1), 1))))
    seen(video, mark(0), comment(1), comment(3), delete(4, 3), comment(5), mark(6), mark(6), comment(7))
    seen(video, comment(3), delete(4, 3), comment(5), comment(7), covers_after=an_id(1))
    seen(video, mark(5), comment(7), mark(9))
    seen(video, mark(8))
    walked(video, 1, 5, 7)
    walked(video, 7, 5, 1, sort="desc")
    assert found(video) == {}


def test_an_undelivered_comment_before_a_heartbeat_is_lost() -> None:
    video = a_video(1, 3, 5)
    seen(video, mark(0), comment(1), mark(4), comment(5))
    assert found(video) == {"lost": 1}


def test_a_comment_missing_between_page_and_stream_is_lost() -> None:
    video = a_video(1, 3, 5)
    seen(video, comment(1), mark(2), comment(5), covers_after="")
    seen(video, comment(5), covers_after=an_id(3))
    assert found(video) == {"lost": 1}


def test_what_lies_before_the_range_or_was_asked_to_be_deleted_is_not_lost() -> None:
    video = a_video(1, 3, 5)
    video.deletes[an_id(3)] = False
    seen(video, mark(1), comment(5))
    assert found(video) == {}


def test_a_comment_that_came_first_starts_the_range() -> None:
    video = a_video(1, 3)
    assert range_of(video, seen(video, comment(3))).holds(an_id(3))
    assert not range_of(video, seen(video, mark(3))).holds(an_id(3))


def test_a_comment_delivered_again_is_twice() -> None:
    video = a_video(1, 3)
    seen(video, mark(0), comment(1), comment(3), comment(1))
    assert found(video) == {"twice": 1}


def test_a_delete_delivered_again_is_twice() -> None:
    video = a_video(1)
    video.deletes[an_id(1)] = True
    seen(video, comment(1), delete(2, 1), delete(2, 1))
    assert found(video) == {"twice": 1}


def test_a_comment_after_a_later_one_is_out_of_order() -> None:
    video = a_video(1, 3)
    seen(video, mark(0), comment(3), comment(1))
    assert found(video) == {"out of order": 1}


@pytest.mark.parametrize("promised", [1, 2])
def test_a_comment_after_a_heartbeat_that_promised_it_is_out_of_order(promised: int) -> None:
    video = a_video(1)
    seen(video, mark(0), mark(promised), comment(1))
    assert found(video) == {"out of order": 1}


def test_a_heartbeat_that_goes_back_is_out_of_order() -> None:
    video = a_video(1)
    seen(video, mark(0), comment(1), mark(0), mark(1))
    assert found(video) == {"out of order": 1}


def test_a_comment_sent_after_an_ack_but_put_before_it_is_out_of_order() -> None:
    video = a_video(1, 5)
    video.acknowledge(an_id(3), Ack(3, 5.6, 5.7))
    seen(video, mark(0), comment(1), comment(3), comment(5))
    assert found(video) == {"acked out of order": 1}


def test_every_gap_counts_and_what_it_covers_is_not_lost_too() -> None:
    video = a_video(1, 3, 5)
    seen(video, mark(0), comment(1), gap(1, 4), comment(5))
    assert found(video) == {"gaps": 1}


def test_a_comment_nobody_posted_is_a_phantom() -> None:
    video = a_video(1)
    seen(video, mark(0), comment(1), comment(2))
    assert found(video) == {"phantoms": 1}


def test_a_listed_comment_nobody_posted_is_a_phantom() -> None:
    video = a_video(1)
    walked(video, 1, 2)
    assert found(video) == {"phantoms": 1}


@pytest.mark.parametrize("why", ["unanswered", "late_tries"])
def test_a_comment_that_may_be_an_unanswered_post_is_none(why: str) -> None:
    video = a_video(1)
    setattr(video, why, 1)
    seen(video, mark(0), comment(1), comment(2))
    assert found(video) == {}


def test_a_delete_nobody_asked_for_is_a_phantom() -> None:
    video = a_video(1)
    seen(video, mark(0), comment(1), delete(2, 1))
    assert found(video) == {"phantoms": 1}


def test_other_bytes_in_a_stream_or_in_history_are_found() -> None:
    video = a_video(1, 2)
    seen(video, mark(0), comment(1, digest=99), comment(2))
    walked(video, 1, 2, digest=2)
    assert found(video) == {"bytes unequal": 2}


def test_a_viewer_that_is_not_told_of_a_delete_is_found() -> None:
    video = a_video(1, 3)
    video.deletes[an_id(1)] = True
    seen(video, mark(0), comment(1), comment(3))
    seen(video, mark(2), comment(3))
    assert found(video) == {"deletes not honoured": 1, "not caught up": 1}


def test_a_deleted_comment_in_history_is_found() -> None:
    video = a_video(1, 3)
    video.deletes[an_id(1)] = True
    walked(video, 1, 3)
    assert found(video) == {"deletes not honoured": 1}


@pytest.mark.parametrize(
    ("ids", "sort", "count"),
    [((1, 3), "asc", 1), ((3, 1, 5), "asc", 1), ((1, 3, 3, 5), "asc", 1), ((1, 3, 5), "desc", 1), ((), "desc", 3)],
)
def test_history_that_is_not_exactly_what_was_written_is_found(ids: tuple[int, ...], sort: str, count: int) -> None:
    video = a_video(1, 3, 5)
    walked(video, *ids, sort=sort)
    assert found(video) == {"history wrong": count}


@pytest.mark.parametrize(
    ("ids", "sort", "wrong"),
    [
        ((), "asc", 0),
        ((1, 3), "asc", 0),
        ((3, 5), "asc", 1),
        ((7, 5), "desc", 0),
        ((7, 3), "desc", 1),
        ((3, 5), "desc", 2),
    ],
)
def test_history_that_was_not_read_to_its_end_is_wrong_only_as_far_as_it_was_read(
    ids: tuple[int, ...], sort: str, wrong: int
) -> None:
    video = a_video(1, 3, 5, 7)
    walked(video, *ids, sort=sort, complete=False)
    assert found(video) == {"history not read": 1, **({"history wrong": wrong} if wrong else {})}


@pytest.mark.parametrize(
    ("first", "is_wrong"),
    [(1, True), (3, False), (5, False), (7, True)],
    ids=["too many", "three", "one on its way", "few"],
)
def test_history_on_join_is_the_newest_n(first: int, is_wrong: bool) -> None:
    video = a_video(1, 3, 5, 7, 13)
    trace = seen(video, *(comment(n) for n in (1, 3, 5, 7, 13) if n >= first))
    # Asked at 12.8: all but 13 were acknowledged long ago; 13 was sent at 13.0, before the first event came.
    trace.mode, trace.size, trace.connected_at, trace.first_at = Mode.HISTORY, 3, 12.8, 13.1
    assert found(video) == ({"history on join wrong": 1} if is_wrong else {})


def test_an_edge_that_is_a_moment_behind_gives_the_newest_as_it_knows_them_and_the_rest_live() -> None:
    video = a_video(1, 3, 5, 7)
    trace = seen(video, comment(1), comment(3), comment(5), comment(7))
    trace.mode, trace.size, trace.connected_at, trace.first_at = Mode.HISTORY, 3, 7.8, 8.1
    assert found(video) == {}


def test_two_comments_for_one_key_are_found_within_the_window_only() -> None:
    video = a_video(1, 2)
    video.answers.append(Answers(0, False, ((an_id(1), 1), (an_id(2), 2))))
    video.answers.append(Answers(1, True, ((an_id(1), 1), (an_id(2), 2))))
    assert found(video) == {"retries disagree": 1}


def test_other_bytes_for_one_key_are_found() -> None:
    video = a_video(1)
    video.answers.append(Answers(0, False, ((an_id(1), 1), (an_id(1), 2))))
    assert found(video) == {"retries disagree": 1}


def test_one_id_for_two_posts_is_found() -> None:
    video = a_video(1, 1)
    assert found(video) == {"retries disagree": 1}


def test_a_viewer_that_never_reaches_the_end_is_found() -> None:
    video = a_video(1, 3)
    seen(video, mark(0), comment(1))
    seen(video)
    assert found(video) == {"not caught up": 2}
