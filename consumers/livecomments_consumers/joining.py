"""Where a new viewer begins: from what its request says to its first position.

A native `EventSource` repeats its first URL on every reconnect, so with a `Last-Event-ID` the parameters `after` and
`history` mean nothing; `after` goes before `history`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from livecomments.log.interface import LogUnavailable
from livecomments_consumers.channel import Channel
from livecomments_consumers.frames import begin_frame, bye_frame
from livecomments_consumers.hub import Hub
from livecomments_consumers.sessions import check_names, session_of
from livecomments_consumers.viewer import UNKNOWN_POSITION, Close, Say, Viewer, Write
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.limits import HISTORY_ON_JOIN_MAX
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id, parse_cursor

HISTORY_UNAVAILABLE: Final = "history_unavailable"


class HistoryRejected(Rejected):
    """`history` is no number, or out of range."""

    code = "invalid_history"


class Wanted(NamedTuple):
    """What a request asks for: at most one of both is set."""

    after: int | None
    """Everything after this position."""
    history: int
    """The newest so many comments first, then live."""
    session: bytes = b""
    """The name of the session whose token that came along; empty without one."""


def wanted(headers: Mapping[str, str], query: Mapping[str, str], partition: int) -> Wanted:
    """What the request of a stream in `partition` asks for; header names in lower case.

    Raises:
        CursorRejected, HistoryRejected, TokenInUrlRejected: final; another try with the same request is refused again.
    """
    check_names(query)
    session = session_of(headers.get("authorization", ""), headers.get("cookie", ""))
    cursor, history = headers.get("last-event-id") or query.get("after"), query.get("history")
    if cursor:
        return Wanted(parse_cursor(cursor, partition), 0, session)
    if history is None:
        return Wanted(None, 0, session)
    if not (history.isascii() and history.isdigit() and len(history) <= 4 and int(history) <= HISTORY_ON_JOIN_MAX):
        raise HistoryRejected(f"history is a number from 0 to {HISTORY_ON_JOIN_MAX}.")
    return Wanted(None, int(history), session)


def beginning(hub: Hub, channel: Channel, want: Wanted) -> bytes:
    """The first frame of a stream."""
    after_id = "" if want.after is None else comment_id(want.after, channel.partition)
    return begin_frame(after_id, hub.retry_ms())


def place_at_once(channel: Channel, viewer: Viewer, want: Wanted) -> bool:
    """Set the viewer's first position if that needs nothing to be read; whether it was set."""
    if want.after is not None and want.after <= channel.judged_through:
        viewer.position = want.after
        return True
    return want.after is None and not want.history


async def place(hub: Hub, channel: Channel, viewer: Viewer, want: Wanted) -> Write | Say | Close | None:
    """Set the viewer's first position; returns what it is written before anything else, if there is something."""
    if place_at_once(channel, viewer, want):
        return None
    if want.after is not None:
        viewer.position = want.after
        return await _if_unknown(hub, channel, viewer)
    try:
        found = await hub.backfill.join(channel, want.history)
    except Unavailable:
        hub.metrics.gap(HISTORY_UNAVAILABLE)
        through, viewer.position = viewer.position, BEFORE_EVERYTHING
        return viewer.missed(through, HISTORY_UNAVAILABLE, channel)
    if viewer.resets != channel.resets:
        return None  # it may be of a log that is gone; the next step says so
    # What does not fit into a block comes next; so does what others' read was too early for.
    viewer.position = found.entries[0].position - 1 if found.entries else found.through
    return viewer.fetched(hub.backfill.bounded(found))


async def _if_unknown(hub: Hub, channel: Channel, viewer: Viewer) -> Say | Close | None:
    """A position ahead of us may exist already: then the viewer waits for it. If not, it is told, and goes live."""
    try:
        newest = await hub.backfill.newest(channel.partition)
    except LogUnavailable:  # it cannot be told now; the viewer comes back and asks again
        return Close(bye_frame("error", hub.retry_ms()), "error")
    if viewer.position <= newest:
        return None
    hub.metrics.gap(UNKNOWN_POSITION)
    gap = viewer.missed(newest, UNKNOWN_POSITION, channel)
    viewer.position = newest
    return gap
