"""What must never happen, each as a pure function over a video's ledger that gives one line for each time it did.

A viewer's *range* is what its ids promise: from where its trace starts to the last id it was given. Every acknowledged
comment in it must have been delivered, in order, once, with the bytes of its 201.

`CHECKS` names them all; `tests/loadtest/test_checks.py` plants each failure and sees it found.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from livecomments_loadtest.ledger import EventKind, Trace, VideoLedger, Walk
from livecomments_loadtest.schedule import Mode

BEHIND_S: Final = 5.0
"""An edge that is further behind the gateways than this says `stale`."""

Check = Callable[[VideoLedger], Iterator[str]]


class Range(NamedTuple):
    """Ids with `after < id <= to`, but not those between `gaps`; `also`: the first, when it was a comment itself."""

    after: str
    to: str
    also: str
    gaps: tuple[tuple[str, str], ...]

    def holds(self, comment_id: str) -> bool:
        """Tell whether a comment at this id must have been delivered."""
        if comment_id == self.also:
            return True
        return self.after < comment_id <= self.to and not any(a < comment_id <= b for a, b in self.gaps)


def range_of(video: VideoLedger, trace: Trace) -> Range:
    """Return the range of ids that a trace must hold. Without a page, it begins with the trace's first event."""
    events = list(video.events_of(trace))
    if not events:
        return Range("", "", "", ())
    first = events[0]
    after = first.id if trace.covers_after is None else trace.covers_after
    also = first.id if trace.covers_after is None and first.kind is EventKind.COMMENT else ""
    gaps = tuple((event.other, event.id) for event in events if event.kind is EventKind.GAP)
    return Range(after, max(event.id for event in events), also, gaps)


def lost(video: VideoLedger) -> Iterator[str]:
    """Find acknowledged comments, never asked to be deleted, that a viewer did not get within its range."""
    required = sorted(set(video.acks) - set(video.deletes))
    for trace in video.traces:
        promised = range_of(video, trace)
        got = {event.id for event in video.events_of(trace) if event.kind is EventKind.COMMENT}
        low = bisect_left(required, promised.also or promised.after)
        for comment_id in required[low : bisect_right(required, promised.to)]:
            if comment_id not in got and promised.holds(comment_id):
                yield f"{video.video_id}: {comment_id} never reached viewer {trace.viewer}, who has {promised.to}"


def twice(video: VideoLedger) -> Iterator[str]:
    """Find comments and deletes whose id one viewer got more than once."""
    for trace in video.traces:
        got: set[str] = set()
        for event in video.events_of(trace):
            if event.kind in (EventKind.COMMENT, EventKind.DELETE):
                if event.id in got:
                    yield f"{video.video_id}: viewer {trace.viewer} got {event.id} more than once"
                got.add(event.id)


def out_of_order(video: VideoLedger) -> Iterator[str]:
    """Find ids that are not greater than all before them; those of marks and gaps may be equal to the greatest."""
    for trace in video.traces:
        newest = ""
        got: set[str] = set()
        for event in video.events_of(trace):
            is_record = event.kind in (EventKind.COMMENT, EventKind.DELETE)
            repeated = is_record and event.id in got  # the business of `twice`
            if not repeated and (event.id < newest or (is_record and event.id == newest)):
                yield f"{video.video_id}: viewer {trace.viewer} got {event.id} after {newest}"
            if is_record:
                got.add(event.id)
            newest = max(newest, event.id)


def acked_out_of_order(video: VideoLedger) -> Iterator[str]:
    """Find comments that were sent after another's 201 had come, but lie before it."""
    earliest_later_ack = float("inf")
    earliest_id = ""
    for comment_id in sorted(video.acks, reverse=True):
        ack = video.acks[comment_id]
        if ack.sent_at > earliest_later_ack:
            yield f"{video.video_id}: {comment_id} was sent after {earliest_id} was acknowledged, and lies before it"
        if ack.acked_at < earliest_later_ack:
            earliest_later_ack, earliest_id = ack.acked_at, comment_id


def gaps(video: VideoLedger) -> Iterator[str]:
    """Find all gaps: within one run every comment is young enough to be delivered."""
    for trace in video.traces:
        for event in video.events_of(trace):
            if event.kind is EventKind.GAP:
                yield f"{video.video_id}: viewer {trace.viewer} was told a gap from {event.other} to {event.id}"


def phantoms(video: VideoLedger) -> Iterator[str]:
    """Find comments and deletes that nobody is known to have sent, beyond as many as unanswered posts can explain."""
    strangers = {event.id for event in video.events if event.kind is EventKind.COMMENT and event.id not in video.acks}
    strangers.update(comment_id for walk in video.walks for comment_id, _ in walk.items if comment_id not in video.acks)
    if len(strangers) > video.unanswered + video.late_tries:
        for comment_id in sorted(strangers):
            yield f"{video.video_id}: {comment_id} was shown, but never acknowledged"
    for event in video.events:
        if event.kind is EventKind.DELETE and event.other not in video.deletes:
            yield f"{video.video_id}: {event.id} deletes {event.other}, which nobody deleted"


def unequal(video: VideoLedger) -> Iterator[str]:
    """Find comments shown or listed with other bytes than those of the 201 (or, without one, than elsewhere)."""
    digests = {comment_id: ack.digest for comment_id, ack in video.acks.items()}
    shown = [(event.id, event.digest) for event in video.events if event.kind is EventKind.COMMENT]
    listed = {item for walk in video.walks for item in walk.items} - set(shown)
    for where, items in (("in a stream or first page", shown), ("in history", sorted(listed))):
        for comment_id, digest in items:
            if digests.setdefault(comment_id, digest) != digest:
                yield f"{video.video_id}: {comment_id} has other bytes {where}"


def deletes_not_honoured(video: VideoLedger) -> Iterator[str]:
    """Find acknowledged deletes of which a viewer with the comment was not told, or whose comment is still listed."""
    deleted = {target for target, acked in video.deletes.items() if acked}
    for trace in video.traces:
        shown: dict[str, bool] = {}
        for event in video.events_of(trace):
            if event.kind is EventKind.COMMENT and event.id in deleted:
                shown[event.id] = False
            elif event.kind is EventKind.DELETE and event.other in shown:
                shown[event.other] = True
        for comment_id in (target for target, told in shown.items() if not told):
            yield f"{video.video_id}: viewer {trace.viewer} has {comment_id} and was not told that it was deleted"
    for walk in video.walks:
        for comment_id in (listed for listed, _ in walk.items if listed in deleted):
            yield f"{video.video_id}: {_named(walk)} lists {comment_id}, which was deleted"


def history_wrong(video: VideoLedger) -> Iterator[str]:
    """Find walks that do not list, in order, exactly what was acknowledged and not deleted, as far as they came."""
    required = set(video.acks) - set(video.deletes)
    for walk in video.walks:
        ids = [comment_id for comment_id, _ in walk.items]
        if ids != sorted(set(ids), reverse=walk.sort == "desc"):
            yield f"{video.video_id}: {_named(walk)} is not in order, or lists a comment twice"
        for comment_id in sorted(required - set(ids)):
            if walk.complete or (ids and (comment_id > ids[-1]) == (walk.sort == "desc")):
                yield f"{video.video_id}: {_named(walk)} does not list {comment_id}"


def history_not_read(video: VideoLedger) -> Iterator[str]:
    """Find walks that ended before their end: what lies behind is neither right nor wrong."""
    for walk in video.walks:
        if not walk.complete:
            yield f"{video.video_id}: {_named(walk)} was read to its comment {len(walk.items)}, and not to its end"


def history_on_join_wrong(video: VideoLedger) -> Iterator[str]:
    """Find viewers to whom `history=N` gave something else than the newest N.

    Of the comments acknowledged before the viewer asked (and never deleted), it got those from its first one on: never
    more than N, but for the newest, which its edge may not have read yet and gives live; and fewer only as far as
    others took their places, which were on their way until its first event came.
    """
    kept = sorted((comment_id, ack) for comment_id, ack in video.acks.items() if comment_id not in video.deletes)
    for trace in video.traces:
        first = next((event.id for event in video.events_of(trace) if event.kind is EventKind.COMMENT), None)
        if trace.mode is not Mode.HISTORY or not trace.events:
            continue
        before = [comment_id for comment_id, ack in kept if ack.acked_at < trace.connected_at]
        given = 0 if first is None else len(before) - bisect_left(before, first)
        others = sum(ack.acked_at >= trace.connected_at and ack.sent_at <= trace.first_at for _, ack in kept)
        others += sum(first is None or target >= first for target in video.deletes)
        others += video.unanswered + video.late_tries
        least = min(trace.size, len(before)) - others
        read = sum(
            ack.acked_at < trace.connected_at - BEHIND_S and comment_id >= (first or "") for comment_id, ack in kept
        )
        if given < least or (first is not None and read > trace.size):
            yield (
                f"{video.video_id}: viewer {trace.viewer} asked for the newest {trace.size} and got {given} "
                f"of {len(before)} that were there"
            )


def retries_disagree(video: VideoLedger) -> Iterator[str]:
    """Find keys sent again within the dedupe window that got two comments, and ids that two posts got."""
    for answers in video.answers:
        if not answers.late and len(set(answers.acks)) > 1:
            ids = ", ".join(sorted({comment_id for comment_id, _ in answers.acks}))
            yield f"{video.video_id}: post {answers.n} was answered with different comments: {ids}"
    for comment_id in video.one_id_twice:
        yield f"{video.video_id}: {comment_id} was given to two posts"


def not_caught_up(video: VideoLedger) -> Iterator[str]:
    """Find viewers that were not at the end of their video, or not told of a delete, when the time was over."""
    for trace in video.traces:
        if trace.owes(video):
            at = trace.position(video) or "nothing"
            yield f"{video.video_id}: viewer {trace.viewer} has {at}; the video's end is {video.newest_ack}"


def _named(walk: Walk) -> str:
    return f"history (sort={walk.sort}, pageSize={walk.page_size})"


CHECKS: Final[Mapping[str, Check]] = {
    "lost": lost,
    "twice": twice,
    "out of order": out_of_order,
    "acked out of order": acked_out_of_order,
    "gaps": gaps,
    "phantoms": phantoms,
    "bytes unequal": unequal,
    "deletes not honoured": deletes_not_honoured,
    "history wrong": history_wrong,
    "history not read": history_not_read,
    "history on join wrong": history_on_join_wrong,
    "retries disagree": retries_disagree,
    "not caught up": not_caught_up,
}
