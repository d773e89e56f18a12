"""Which sessions were revoked: a topic of one partition, read whole at the start and followed from there on.

A record says one session's name (`session_names`) and until when a token of it could be good; after that it is
forgotten: by our clock and by the log's own, the newest time that a record was appended at. A clock that runs ahead for
a moment would otherwise let a revoked session speak again; where the log's clock is ours too, the time that passed
decides with them. The topic keeps its records as long as a session may live, so that every process that starts knows
them all. No order matters, and reading a record twice changes nothing. So whoever may write says again what a topic
that was made anew, or lost its end, does not know any more: else a process that starts would let it speak.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from typing import Final

import orjson

from livecomments.log.interface import AppendUnknown, CommentLog
from livecomments.log.session_names import SESSION_NAME_BYTES
from livecomments.log.whole import WholeTopic
from livecomments.runtime.retrying import retrying, told
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.events import SCHEMA_VERSION, NewRecord, Record

SESSION_REVOKED: Final = b"session.revoked"
_REVOKED_MAX: Final = 500_000
"""Held at once, about 100 MB; beyond it no session can be revoked, since forgetting one would let it speak again."""
_LOOK_S: Final = 0.1
_AT_ONCE: Final = 100
"""Appends under way of what is said again."""
RESTORED_BY: Final = "livecomments"
"""Who ended a session, in a record that says it again."""

_log = logging.getLogger("livecomments.log")

Listener = Callable[[bytes], None]
"""Called with the name of a session that was just revoked; must not wait and must not raise."""


class RevocationsUnavailable(Unavailable):
    """What was revoked is not known yet, or cannot be taken in."""

    code = "overloaded"


class Revocations:
    """The revoked sessions, as far as they are read. `run` reads; the rest looks, or appends."""

    def __init__(
        self,
        log: CommentLog,
        *,
        timeout_s: float = 5.0,
        clock: Callable[[], float] = time.time,
        older_than: Callable[[int], int] | None = None,
    ) -> None:
        """Take the topic; `older_than` tells the newest stamp of what is so many milliseconds old."""
        self.listeners: list[Listener] = []
        self._clock = clock
        self._older_than = older_than
        self._appended_at_ms = 0
        """When the newest record that was read was appended."""
        self._until: dict[bytes, int] = {}
        self._soonest: list[tuple[int, bytes, int]] = []
        """Until when, who, and when that was appended."""
        self._missing: set[bytes] = set()
        """Known, and not read in the topic that stands in the place of the one before."""
        self._restarts = 0
        self._lost = asyncio.Event()
        self._log = log
        self._topic = WholeTopic(log, self._take, "revocations", timeout_s=timeout_s)
        self.ready, self.run = self._topic.ready, self._topic.run

    @property
    def is_ready(self) -> bool:
        """All that was revoked before the start is known."""
        return self._topic.is_ready

    def is_revoked(self, session: bytes) -> bool:
        """Tell whether the session of this name was revoked. Raises RevocationsUnavailable until all are read."""
        if not self.is_ready:
            raise RevocationsUnavailable("This node is still reading which sessions have ended. Try again in a second.")
        return session in self._until

    async def revoke(self, session: bytes, until: int, by: str) -> None:
        """Revoke a session whose last token expires at `until` (Unix seconds); returns once this process knows of it.

        Raises:
            RevocationsUnavailable, AppendUnavailable: not revoked. AppendUnknown: maybe; revoking again harms nothing.
        """
        if len(self._until) >= _REVOKED_MAX:
            raise RevocationsUnavailable("Too many sessions were ended. Try again later.")
        try:
            await self._topic.append(_revocation(session, until, by))
        except AppendUnknown as error:
            raise AppendUnknown("The session has ended or is about to. Try again.") from error

    async def restore(self) -> None:
        """Say again what another topic in the place of this one does not know, until cancelled. By who may write."""
        tells = told(_log, "revocations not taken, trying again")
        while True:
            await self._lost.wait()
            while not self.is_ready:  # noqa: ASYNC110 - what it holds is read, and need not be said
                await asyncio.sleep(_LOOK_S)
            self._lost.clear()
            missing = random.sample(list(self._missing), len(self._missing))  # others do the same, and are heard
            for start in range(0, len(missing), _AT_ONCE):
                some = [one for one in missing[start : start + _AT_ONCE] if one in self._missing and one in self._until]
                said = [_revocation(one, self._until[one], RESTORED_BY) for one in some]
                await asyncio.gather(*(retrying(partial(self._log.append, 0, one), tells) for one in said))
            _log.warning("revocations said again", extra={"sessions": len(missing)})

    def _take(self, records: Sequence[Record]) -> None:
        if self._topic.restarts != self._restarts:
            self._restarts, self._missing = self._topic.restarts, set(self._until)
            self._lost.set()
        for record in records:
            self._take_one(record)
        self._forget_expired()

    def _is_over(self, until: int, appended_at_ms: int) -> bool:
        """Tell whether no token can be good any more that was, when its end was appended, until `until`."""
        if until > min(self._clock(), self._appended_at_ms / 1_000):
            return False
        return self._older_than is None or appended_at_ms <= self._older_than(max(0, until * 1_000 - appended_at_ms))

    def _take_one(self, record: Record) -> None:
        self._appended_at_ms = max(self._appended_at_ms, record.appended_at_ms)
        if record.headers.get("type") != SESSION_REVOKED or record.value is None:
            return
        try:
            said = orjson.loads(record.value)
            session, until = bytes.fromhex(said["digest"]), int(said["expiresAt"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            _log.error("not a revocation", extra={"offset": record.offset})
            return
        self._missing.discard(session)
        is_new = len(session) == SESSION_NAME_BYTES and session not in self._until
        if is_new and not self._is_over(until, record.appended_at_ms):
            self._until[session] = until
            heappush(self._soonest, (until, session, record.appended_at_ms))
            for listener in self.listeners:
                listener(session)

    def _forget_expired(self) -> None:
        while self._soonest and self._is_over(self._soonest[0][0], self._soonest[0][2]):
            del self._until[heappop(self._soonest)[1]]


def _revocation(session: bytes, until: int, by: str) -> NewRecord:
    value = orjson.dumps({"digest": session.hex(), "expiresAt": until})
    headers = {"type": SESSION_REVOKED, "schema": SCHEMA_VERSION, "author": by.encode()}
    return NewRecord(session.hex().encode("ascii"), value, headers)
