"""A viewer's client: connects, reads at its own speed, is cut anywhere, and comes back with its last id."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from livecomments_loadtest.sse import SseBlocks, SseEvent, parse_block
from tests.consumers.sim.checker import Chunks, Gunzip, Shown, Wrong
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.sim.sockets import Piece, SimTransport

Connect = Callable[["SimClient"], SimTransport]


class SimClient:
    """One viewer of one video."""

    def __init__(
        self, name: str, shown: Shown, connect: Connect, rng: random.Random, seen: Counter[str], *, history: int
    ) -> None:
        self.name = name
        self.shown = shown
        self.history = history
        self.is_stalled = False
        self.is_slow = False
        self.is_live = False
        """A stream is open, and an id has come on it."""
        self.is_leaving = False
        self.quick_since: float | None = None
        """Since when it has been live and read what it got at once."""
        self.latest_s = 0.0
        """The longest that a comment took from its append to here while it was quick."""
        self.silence_s = 0.0
        """The longest time between two events while it was quick."""
        self.log: list[tuple[float, SseEvent | str]] = []
        """What happened to it, for a replay."""
        self._connect = connect
        self._rng = rng
        self._seen = seen
        self._heard_at = 0.0
        self._woken: asyncio.Future[None] | None = None
        self._transport: SimTransport | None = None

    def wake(self) -> None:
        """Look again: bytes, or another mood."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def cut(self) -> None:
        """Its network breaks."""
        if self._transport is not None:
            self._transport.cut()

    def leave(self) -> None:
        """Go for good."""
        self.is_leaving = True
        self.cut()
        self.wake()

    async def run(self) -> None:
        """Connect again and again until it leaves. Raises Wrong."""
        while not self.is_leaving and not self.shown.is_over:
            self.shown.begin()
            self._transport = transport = self._connect(self)
            transport.on_bytes = self.wake
            reading = _Reading(self, self._seen)
            await self._read(transport, reading)
            reading.end()
            transport.cut()
            self.is_live, self.quick_since = False, None
            self._note(f"ended{' mid-event' if reading.is_mid_event else ''}, retry {reading.retry_ms}")
            self._seen["cut mid-event"] += reading.is_mid_event
            self._seen["cut mid-chunk"] += reading.is_mid_chunk
            if not self.is_leaving:
                await pass_time(reading.retry_ms / 1000 * self._rng.random())

    async def _read(self, transport: SimTransport, reading: "_Reading") -> None:
        """Until the stream ends."""
        while not transport.is_ended and not self.is_leaving:
            if self.is_stalled or not transport.has_bytes:
                self._woken = asyncio.get_running_loop().create_future()
                await self._woken
                continue
            await pass_time(self._rng.uniform(0.2, 0.5) if self.is_slow else self._rng.uniform(0.001, 0.02))
            for piece in transport.take(self._rng.randint(1, 300) if self.is_slow else 100_000):
                reading.feed(piece)

    def see(self, event: SseEvent, known: int) -> None:
        """One event. Raises Wrong."""
        now, quick_since = clock(), self.quick_since
        self.log.append((now, event))
        self.shown.see(event, known)
        self.is_live = self.is_live or event.id is not None
        if quick_since is None:
            self.quick_since = None if self.is_slow or self.is_stalled or not self.is_live else now
        else:
            self.silence_s = max(self.silence_s, now - max(self._heard_at, quick_since))
            if self.shown.appended_at >= quick_since:
                self.latest_s = max(self.latest_s, now - self.shown.appended_at if event.kind == b"comment" else 0.0)
        self._heard_at = now

    def trace(self) -> list[tuple[float, str]]:
        """What happened to it, in words."""
        return [(at, f"{self.name}: {what if isinstance(what, str) else _said(what)}") for at, what in self.log]

    def _note(self, text: str) -> None:
        self.log.append((clock(), text))


def _said(event: SseEvent) -> str:
    return b" ".join((event.kind, event.id or b"", event.data or b"")).decode()


class _Reading:
    """One response, from its bytes to its events."""

    def __init__(self, client: SimClient, seen: Counter[str]) -> None:
        self.retry_ms = 1_000
        self._client = client
        self._seen = seen
        self._head = b""
        self._headers: dict[bytes, bytes] | None = None
        self._chunks = Chunks()
        self._gunzip = Gunzip()
        self._blocks = SseBlocks()
        self._said_bye = False
        self.is_mid_event = False
        """Once it has ended: whether that was in an event."""

    @property
    def is_mid_chunk(self) -> bool:
        return self._chunks.is_mid_chunk

    def feed(self, piece: Piece) -> None:
        data, known = piece
        if self._headers is None:
            data = self._take_head(data, known)
            if self._headers is None:
                return
        if self._headers.get(b"transfer-encoding") == b"chunked":
            data = self._chunks.feed(data)
        if self._headers.get(b"content-encoding") == b"gzip":
            data = self._gunzip.feed(data)
            self._seen["gzip"] += 1
        for block in self._blocks.feed(data):
            event = parse_block(block)
            self._take_retry(event.retry_ms)
            if event.data is not None:
                if self._said_bye:
                    raise Wrong("something after bye")
                self._said_bye = event.kind == b"bye"
                self._client.see(event, known)

    def end(self) -> None:
        """The response is over: what is unfinished is discarded, but a whole `retry:` line in it counts."""
        self.is_mid_event = self._blocks.is_mid_event()
        retry_ms = self._blocks.feed_eof()
        self._take_retry(retry_ms)
        self._seen["told to come back"] += retry_ms is not None and b"content-length" in (self._headers or {})

    def _take_retry(self, retry_ms: int | None) -> None:
        if retry_ms is not None:
            if retry_ms <= 0:
                raise Wrong("retry at once")
            self.retry_ms = retry_ms

    def _take_head(self, data: bytes, known: int) -> bytes:
        head, end, body = (self._head + data).partition(b"\r\n\r\n")
        if not end:
            self._head += data
            return b""
        status, *lines = head.split(b"\r\n")
        self._headers = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        if status.split()[1] == b"204":
            shown = self._client.shown
            shown.see_end(known)
            shown.is_over = True
            self._seen["stays away"] += 1
            return b""
        if status.split()[1] == b"401" and self._client.shown.is_revoked():
            self._client.shown.is_over = True
            self._seen["refused"] += 1
            return b""
        if status.split()[1] != b"200":
            raise Wrong(f"the answer is {status!r}")
        if self._headers[b"content-type"] != b"text/event-stream; charset=utf-8":
            raise Wrong("no event stream")
        return body
