"""The reading side: one viewer, who comes in once, is cut off now and then, and resumes where it was.

Behaves like a careful browser: remembers the last id it was given, comes back on `bye`, a closed stream, a refusal that
may pass or silence, waits as long as `retry:` says, and doubles its wait while nobody answers.
"""

import asyncio
import random
import time
from collections import Counter
from typing import Final
from urllib.parse import quote, urljoin

from livecomments_loadtest.calls import BACKOFF_FIRST_S, BACKOFF_MAX_S, RETRIED_STATUSES, Caller
from livecomments_loadtest.client import connect
from livecomments_loadtest.ledger import Complaints, Event, EventKind, EventMalformed, Trace, VideoLedger, read_event
from livecomments_loadtest.pages import first_page
from livecomments_loadtest.schedule import Drop, Mode, ViewerScript
from livecomments_loadtest.sse import parse_block
from livecomments_loadtest.wire import StreamWire

RETRY_DEFAULT_S: Final = 1.0
RETRY_S_MAX: Final = 30.0
"""A longer `retry:` is taken for this, so that it cannot outlast a run."""

LOOK_UP_S: Final = 5.0
"""How often a viewer looks whether its stream has gone silent."""


class LoadViewer:
    """One viewer of one video. `tally` counts what happened to all viewers: drops, resumes, closes, refusals."""

    def __init__(
        self,
        script: ViewerScript,
        video: VideoLedger,
        pages: Caller,
        complaints: Complaints,
        tally: Counter[str],
        calm: asyncio.Event,
    ) -> None:
        """Add the viewer's trace to its video. Once `calm` is set it drops no more, and comes back at once if away."""
        self._script = script
        self._video = video
        self._pages = pages
        self._complaints = complaints
        self._tally = tally
        self._calm = calm
        self._wire: StreamWire | None = None
        self._target = f"/comments/{quote(video.video_id)}/stream"
        self._streamed = False
        self._first_of_connection = True
        self._failures = 0
        self.trace = Trace(script.n, script.mode, script.size)
        video.traces.append(self.trace)

    @property
    def is_connected(self) -> bool:
        return self._wire is not None and self._wire.is_open

    @property
    def owes(self) -> bool:
        """Whether it still has to be given something; only for when all posts and deletes have their answers."""
        return self.trace.owes(self._video)

    async def run(self, began: float, drops_a_minute: float) -> None:
        """Watch until cancelled, from its moment after `began`; return early only when it was refused for good."""
        await self._away(began + self._script.starts_at_s - time.perf_counter())
        start = await self._start()
        drops = self._script.drops(drops_a_minute)
        drop = next(drops, None)
        by_after = False
        try:
            while True:
                wire = await self._watch(start, drop, by_after=by_after)
                reason = "refused" if wire is None else wire.ended.result()
                if wire is None or reason.startswith("status"):
                    if wire is not None and wire.head is not None and wire.head.status not in RETRIED_STATUSES:
                        self._complaints.add(f"stream answered with {reason}")
                        return
                    await self._back_off(wire)
                elif reason.startswith("dropped"):
                    assert drop is not None
                    self._tally[reason] += 1
                    by_after = drop.by_after
                    await self._away(drop.away_s)
                    drop = next(drops, None)
                else:
                    by_after = False
                    await self._come_back(wire, reason)
        finally:
            if self._wire is not None:
                self._wire.end("left")

    async def _start(self) -> str:
        """Return the request target to start with; in page mode, read the page first and begin the trace with it."""
        if self._script.mode is Mode.LIVE:
            return self._target
        if self._script.mode is Mode.HISTORY:
            return f"{self._target}?history={self._script.size}"
        page = await first_page(self._pages, self._video.video_id, self._script.size, self._complaints)
        if page is None:
            self.trace.mode = Mode.LIVE
            return self._target
        target = self._pages.pool.origin.target_of(urljoin(self._target.removesuffix("/stream"), page.stream_url))
        events = [Event(EventKind.COMMENT, comment_id, digest) for comment_id, digest in reversed(page.items)]
        self.trace.covers_after = page.next_cursor or ""
        self.trace.events.extend(map(self._video.number, [*events, Event(EventKind.MARK, page.complete_to)]))
        self.trace.arrived(time.perf_counter())
        return target

    async def _watch(self, start: str, drop: Drop | None, *, by_after: bool) -> StreamWire | None:
        """Watch one connection, from its request to its end; None when it could not be opened."""
        target, headers = start, {"accept": "text/event-stream", "cache-control": "no-cache"}
        if self._streamed and by_after:
            target = f"{self._target}?after={self.trace.position(self._video)}"
        elif self._streamed:
            headers["last-event-id"] = self.trace.position(self._video)
        origin = self._pages.pool.origin
        request = origin.head("GET", target, headers)
        self._first_of_connection, resuming = True, self._streamed
        if not resuming:
            self.trace.connected_at = time.perf_counter()
        # Made before it is connected: its first data may come before `connect` returns.
        self._wire = wire = StreamWire(request, self._take)
        try:
            await connect(origin, lambda: wire)
        except OSError:
            self._tally["connections refused"] += 1
            return None
        try:
            await self._stay(wire, drop)
        finally:
            self._look_at_head(wire, resuming=resuming)
        return wire

    async def _stay(self, wire: StreamWire, drop: Drop | None) -> None:
        """Watch until the connection ends: by the server, by a drop, or because it has gone silent."""
        cut_at = time.perf_counter() + (drop.after_s if drop is not None else float("inf"))
        while not wire.ended.done():
            await asyncio.wait((wire.ended,), timeout=max(0.0, min(LOOK_UP_S, cut_at - time.perf_counter())))
            now = time.perf_counter()
            if drop is not None and now >= cut_at:
                cut_at = float("inf")
                if not self._calm.is_set():
                    wire.cut(mid_event=drop.mid_event)
            elif wire.is_silent(now):
                wire.end("silent")

    def _take(self, blocks: list[bytes]) -> None:
        """Record the events of one piece of network data: complete blocks, in order."""
        now = time.perf_counter()
        trace, video = self.trace, self._video
        had = len(trace.events)
        at = 0
        while (at := video.take(blocks, at, trace)) < len(blocks):
            self._learn(blocks[at])
            at += 1
        if self._first_of_connection:
            self._first_of_connection = False
            self._failures = 0
            trace.connections.append((had, now))
        if len(trace.events) > had:
            self._streamed = True
            trace.arrived(now)

    def _learn(self, block: bytes) -> None:
        """Record a block that nobody of this video has had yet, or that says more than an event with an id."""
        assert self._wire is not None
        sse = parse_block(block)
        if sse.retry_ms is not None:
            self._wire.retry_ms = sse.retry_ms
        if sse.kind == b"bye":
            self._tally["byes"] += 1
            self._wire.end("bye")
        elif sse.kind == b"stale":
            self._tally["stale"] += 1
        try:
            event = read_event(sse)
        except EventMalformed as error:
            self._complaints.add(str(error))
            return
        if event is not None:
            number = self._video.number(event)
            self.trace.events.append(number)
            if sse.retry_ms is None:
                self._video.remember(block, number)

    def _look_at_head(self, wire: StreamWire, *, resuming: bool) -> None:
        if wire.head is None or wire.head.status != 200:
            return
        self._tally["connections"] += 1
        self._tally["resumes"] += resuming
        content_type = wire.head.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type != b"text/event-stream" or b"content-encoding" in wire.head.headers:
            self._complaints.add("stream of another content type or coding than asked for")

    async def _come_back(self, wire: StreamWire, reason: str) -> None:
        """Wait as long as the server asks for, within bounds, after it ended the stream or the stream fell silent."""
        if reason.startswith("malformed"):
            self._complaints.add(f"stream {reason}")
        self._tally["silent" if reason == "silent" else "closed by the server"] += 1
        wait_s = RETRY_DEFAULT_S if wire.retry_ms is None else wire.retry_ms / 1000
        await asyncio.sleep(min(max(wait_s, BACKOFF_FIRST_S), RETRY_S_MAX))

    async def _back_off(self, wire: StreamWire | None) -> None:
        retry_after_s = 0.0
        if wire is not None and wire.head is not None:
            self._tally["streams refused"] += 1
            retry_after_s = wire.head.retry_after_s()
        backoff_s = min(BACKOFF_FIRST_S * 2**self._failures, BACKOFF_MAX_S)
        self._failures = min(self._failures + 1, 30)
        await asyncio.sleep(retry_after_s + random.uniform(backoff_s / 2, backoff_s))  # noqa: S311 - spreads retries

    async def _away(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._calm.wait()
        except TimeoutError:
            pass
