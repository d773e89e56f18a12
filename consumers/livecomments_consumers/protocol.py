"""The rules of reading a video's log as a durable stream, and of sharing what is read. Pure.

Source: the Durable Streams protocol, draft 1.0, its reading half. An offset is a position of the video's partition, as
a comment id. It differs from the draft in two things, so that those who wait at one place meet in one request:

- Answers end where a window of the log's own time ends, which is the same on every edge.
- The cursor is the number of a window, by a factor: who has one that is not older gets the next number, and whoever
  hears of a later window is with the others again. With the draft's jitter those who came apart stay apart.

Nothing here goes by a clock of ours: how long a window stays open follows from the records in it. Only the end of a
silence is told by it, where nobody can lose anything.
"""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, unquote_plus
from zlib import crc32

from livecomments.following.tail import Entry, Tail
from livecomments_consumers.block import fitting
from livecomments_consumers.sessions import check_names, session_of
from livecomments_consumers.wanted import PARAMETERS_MAX, letters_of
from livecomments_schemas.errors import ParameterRejected, Rejected
from livecomments_schemas.positions import BEFORE_EVERYTHING, CursorRejected, Home, parse_cursor

WINDOW_MS: Final = 200
"""Of the log's time: what comes in it is one answer. As long as comments of a busy video may be joined for streams."""
LATE_MS: Final = 20
"""A window stays open for so much longer: records may take longer to come than its first one did."""
CHUNK_ENTRIES: Final = 500
CHUNK_BYTES: Final = 98_304
"""Of one answer, as of a block: a slow client holds not much more than that."""
SILENCE_MS: Final = 20_000
"""Whoever waits is answered after at most about so long. All who wait for a video are, at once: they meet again."""
_SILENCE_MIN_MS: Final = 1_000
"""Who comes just before that moment waits for the next one."""
_EPOCH_MS: Final = 1_728_432_000_000
"""2024-10-09T00:00:00Z, from which the draft counts."""
_CURSOR_STEP: Final = 100
"""More than one is ever ahead by counting on: by steps of one, who is ahead would stay it."""
_CURSOR_MAX: Final = 10**15 - 1
"""Stays exact as a number of JavaScript, and is later than any clock."""
_OF_OURS: Final = ("offset", "live", "cursor")
_DIGITS: Final = re.compile(r"[0-9]+")

CHUNK_LIFE: Final = "public, max-age=0, s-maxage=8"
"""A text that is deleted leaves caches within 10 s; 2 s are for an edge that hears of it late, and for rounding. A
browser asks again each time: behind a cache that tells no age, both lifetimes would add up."""
END_LIFE: Final = "public, max-age=0, s-maxage=1"
"""Of what says that there is no more. Without it a crowd that waits would not wait together in a long silence."""
UNSHARED: Final = "private, no-store"


class OffsetRejected(Rejected):
    """The log does not have this offset, or not any more."""

    code = "offset_gone"


class LiveRejected(Rejected):
    """`live` is none of the two modes, or comes without an offset."""

    code = "invalid_live"


class StreamCursorRejected(Rejected):
    """`cursor` is no number that an answer of ours had."""

    code = "invalid_stream_cursor"


class Live(Enum):
    """What a reader who has everything waits for."""

    NO = ""
    LONG_POLL = "long-poll"
    SSE = "sse"


class Asked(NamedTuple):
    """What a request asks for."""

    offset: int | None
    """Everything after this position; None: from now on."""
    live: Live
    cursor: int | None
    session: bytes
    """The name of the session whose token came along; empty without one."""
    is_shared: bool
    """The answer may be given to others: nobody has said who asks."""


def asked(headers: Mapping[str, str], query: str, home: Home) -> Asked:
    """Return what a request for the stream of a video at `home` asks for.

    Args:
        headers: by name in lower case.
        query: as it stands in the address. What is not ours is left alone: the draft has clients add their own.
        home: the video's.

    Raises:
        CursorRejected, LiveRejected, ParameterRejected, StreamCursorRejected, TokenInUrlRejected: final.
    """
    if query.count("&") >= PARAMETERS_MAX:
        raise ParameterRejected(f"At most {PARAMETERS_MAX} parameters.")
    pairs = parse_qsl(query, keep_blank_values=True)
    check_names(name for name, _ in pairs)
    _check_spelling(query)
    said: dict[str, str] = {}
    for name, value in pairs:
        if name in _OF_OURS and said.setdefault(name, value) != value:
            raise LiveRejected("A parameter stands here twice, with two values. Send each once.")
    offset, live, cursor = (said.get(name) for name in _OF_OURS)
    modes = {mode.value: mode for mode in (Live.LONG_POLL, Live.SSE)}
    if live is not None and (live not in modes or offset is None):
        raise LiveRejected("live is long-poll or sse, and goes with an offset; leave it out to read what is there.")
    if cursor is not None and not (_DIGITS.fullmatch(cursor) and len(cursor) <= len(str(_CURSOR_MAX))):
        raise StreamCursorRejected("cursor is the number of an answer's Stream-Cursor. Leave it out to begin.")
    authorization, cookie = headers.get("authorization", ""), headers.get("cookie", "")
    session = session_of(authorization, cookie)
    return Asked(
        None if offset == "now" else BEFORE_EVERYTHING if offset in (None, "-1") else parse_cursor(offset, home),
        Live.NO if live is None else modes[live],
        None if cursor is None else int(cursor),
        session,
        is_shared=not authorization and not session,
    )


def cursor_after(time_ms: int, before: int | None) -> int:
    """Return the cursor of an answer that is of the time `time_ms`; always greater than the client's, so none loops.

    Who comes with the greatest that there is, which no clock of ours has said, begins anew: a greater one is refused.
    """
    cursor = max(0, time_ms - _EPOCH_MS) // WINDOW_MS * _CURSOR_STEP
    return cursor if before is None or cursor > before or before >= _CURSOR_MAX else before + 1


def silence_ms(video_id: str, now_ms: int) -> int:
    """Tell how long whoever waits for a video is left to wait. Each video has moments of its own, the same everywhere.

    They lie in the middle of windows, so that two edges, or two timers, say the same cursor.
    """
    windows = SILENCE_MS // WINDOW_MS
    phase_ms = crc32(video_id.encode()) % windows * WINDOW_MS + WINDOW_MS // 2
    left_ms = SILENCE_MS - (now_ms - phase_ms) % SILENCE_MS
    return left_ms if left_ms >= _SILENCE_MIN_MS else left_ms + SILENCE_MS


def open_from(entries: Sequence[Entry]) -> int:
    """Return the index of the first entry of the newest window, to which more may come."""
    begin = len(entries) - 1
    while begin > 0 and _window(entries[begin - 1]) == _window(entries[-1]):
        begin -= 1
    return max(0, begin)


def closes_at(entry: Entry) -> float:
    """Tell when the window that begins with this entry, or is joined at it, is over, by the clock of `read_at`."""
    left_ms = WINDOW_MS - entry.appended_at_ms % WINDOW_MS
    return entry.read_at + (left_ms + LATE_MS) / 1_000


def chunk(entries: Sequence[Entry], *, is_all: bool) -> Sequence[Entry]:
    """Return as many of these entries as one answer holds. `is_all`: that no more are there to be given.

    Where more follows, it ends at the roundest moment of the log's time that lies among them: readers who come from
    different places are soon at the same one.
    """
    fit = min(fitting(entries[:CHUNK_ENTRIES], CHUNK_BYTES), CHUNK_ENTRIES)
    if is_all and fit == len(entries):
        return entries
    within = entries[: fit + 1]
    rounds = [_roundness(_window(one), _window(other)) for one, other in pairwise(within)]
    roundest = max(rounds, default=0)
    return entries[: rounds.index(roundest) + 1] if roundest else entries[:fit]


def rest_of(tail: Tail, video_id: str, judged_through: int, after: int) -> int:
    """Return where who has all of a video waits: one place for all, wherever they came to the end.

    It is the video's newest record. Where the tail has none, nothing of the video lies anywhere in it, and it is the
    roundest position of the tail. `after` is not before the tail, and nothing of the video is later.
    """
    newest = next(tail.backward(video_id, judged_through + 1), None)
    if newest is not None:
        return newest.position
    return _roundest(tail.after, judged_through) if judged_through > tail.after else after


def _check_spelling(query: str) -> None:
    """Refuse a name that is ours but for case, signs and escapes.

    Passed over, it would begin anew, or wait for nothing. Understood, it would poison caches: they know parameters by
    the letters in the address, and would keep for everybody what was answered to one whom they took for another.
    """
    refusals = {"offset": CursorRejected, "live": LiveRejected, "cursor": StreamCursorRejected}
    for pair in query.split("&"):
        name = pair.partition("=")[0]
        ours = letters_of(unquote_plus(name))
        if ours in refusals and name != ours:
            raise refusals[ours](f"The parameter is called {ours}, exactly so. Send it by that name, or leave it out.")


def _window(entry: Entry) -> int:
    return entry.appended_at_ms // WINDOW_MS


def _roundness(low: int, high: int) -> int:
    """Tell how round the roundest number later than `low`, up to `high`, is; 0 if there is none."""
    return (low ^ high).bit_length() if high > low else 0


def _roundest(low: int, high: int) -> int:
    """Return the number later than `low`, up to `high`, that the highest power of two divides."""
    bits = (low ^ high).bit_length() - 1
    return high >> bits << bits
