"""Where a new viewer begins: from what its request says to its first position."""

from typing import Final

from livecomments.log.interface import LogUnavailable
from livecomments_consumers.channel import Channel
from livecomments_consumers.frames import begin_frame, bye_frame
from livecomments_consumers.hub import Hub
from livecomments_consumers.viewer import UNKNOWN_POSITION, Close, Say, Viewer, Write
from livecomments_consumers.wanted import Wanted
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.positions import BEFORE_EVERYTHING

HISTORY_UNAVAILABLE: Final = "history_unavailable"
AS_ASKED: Final = "as_asked"
"""The reason of a gap told to a viewer who missed more than it wants to be given."""


def beginning(hub: Hub, channel: Channel, want: Wanted) -> bytes:
    """Return the first frame of a stream."""
    after_id = "" if want.after is None else channel.id_at(want.after)
    return begin_frame(after_id, hub.retry_ms())


def place_at_once(channel: Channel, viewer: Viewer, want: Wanted) -> bool:
    """Set the viewer's first position if nothing has to be read for it; returns whether it was set."""
    if want.after is None:
        return not want.history
    if want.after > channel.judged_through:
        return False
    if want.missed is not None and not channel.holds_at_most(want.missed, want.after):
        return False
    viewer.position = want.after
    return True


async def place(hub: Hub, channel: Channel, viewer: Viewer, want: Wanted) -> Write | Say | Close | None:
    """Set the viewer's first position; returns what it is written before anything else, if there is something."""
    if place_at_once(channel, viewer, want):
        return None
    if want.after is not None:
        viewer.position = want.after
        if want.missed is not None and want.after <= channel.judged_through:
            return await _if_more(hub, channel, viewer, want.missed)
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
    """Ask the log whether it has the viewer's position, which is ahead of this edge; return what to write.

    If it has, nothing is written, and the viewer waits for it. If not, it is told a gap and goes live. Without an
    answer the stream is closed, and the viewer comes back and asks again.
    """
    try:
        newest = await hub.history.newest(channel.partition)
    except LogUnavailable:  # it cannot be told now; the viewer comes back and asks again
        return Close(bye_frame("error", hub.retry_ms()), "error")
    if viewer.position <= newest:
        return None
    hub.metrics.gap(UNKNOWN_POSITION)
    gap = viewer.missed(newest, UNKNOWN_POSITION, channel)
    viewer.position = newest
    return gap


async def _if_more(hub: Hub, channel: Channel, viewer: Viewer, count: int) -> Say | None:
    """Pass over all but the newest `count` comments, and say so. What cannot be read now is given whole."""
    try:
        found = await hub.backfill.join(channel, count + 1)
    except Unavailable:
        return None
    comments = found.entries
    if len(comments) <= count or comments[0].position <= viewer.position or viewer.resets != channel.resets:
        return None
    hub.metrics.gap(AS_ASKED)
    return viewer.missed(comments[1].position - 1 if count else found.through, AS_ASKED, channel)
