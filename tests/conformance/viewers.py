"""Who watches: each program by way of each load balancer, compressed and plain."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import PIPE
from typing import Any, Final, NamedTuple

import httpx
import orjson
from httpx_sse import SSEError, aconnect_sse

from tests.conformance.programs import JS, running

BROWSERS: Final = ("chromium", "firefox", "webkit")
PROGRAMS: Final = (*BROWSERS, "curl", "httpx-sse", "eventsource")
BALANCERS: Final = ("haproxy", "nginx")
_RETRY_MS: Final = 3_000


class Event(NamedTuple):
    """One event as its reader tells it. `id`: the last one it knows of."""

    kind: str
    id: str
    data: str


@dataclass
class Viewer:
    """One viewer, and all it was told."""

    program: str
    balancer: str
    form: str
    """`gzip`, `plain`; or `foreign`: compressed, in a page of another origin."""
    events: list[Event] = field(default_factory=list)
    late_for: str | None = None
    """What it did not come to in time. Nobody waits for it after that."""

    @property
    def name(self) -> str:
        return f"{self.program}-{self.balancer}-{self.form}"

    @property
    def comments(self) -> list[Event]:
        return [event for event in self.events if event.kind == "comment"]

    def path(self, video_id: str, after: str) -> str:
        """Of its stream."""
        return f"/comments/{video_id}/stream?after={after}&viewer={self.name}"


def everybody() -> list[Viewer]:
    """All that there are, anew."""
    plain = [Viewer(*each) for each in itertools.product(PROGRAMS, BALANCERS, ("gzip", "plain"))]
    return plain + [Viewer(*each, "foreign") for each in itertools.product(BROWSERS, BALANCERS)]


async def watch_with_httpx_sse(viewer: Viewer, url: str) -> None:
    """As its own documentation says to reconnect: httpx-sse does not by itself."""
    last_id, retry_ms = "", _RETRY_MS
    async with httpx.AsyncClient(timeout=60) as client:
        while viewer.late_for is None:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            try:
                async with aconnect_sse(client, "GET", url, headers=headers) as source:
                    async for sse in source.aiter_sse():
                        last_id, retry_ms = sse.id or last_id, sse.retry or retry_ms
                        viewer.events.append(Event(sse.event, sse.id, sse.data))
            except httpx.TransportError:
                pass  # it was cut
            except SSEError:
                viewer.events.append(Event("closed", "", ""))
            await asyncio.sleep(retry_ms / 1_000)


async def watch_with_curl(viewer: Viewer, url: str, output: Path) -> None:
    """In a loop, since curl does not come back with the id it saw last; eventsource-parser reads what it prints."""
    last_id, retry_ms = "", _RETRY_MS
    form = [] if viewer.form == "plain" else ["--compressed"]
    while viewer.late_for is None:
        header = ["-H", f"Last-Event-ID: {last_id}"] if last_id else []
        taken, given = os.pipe()
        curl = running(output, "curl", "-sSN", *form, *header, url, stdout=given)
        reader = running(output, "node", str(JS / "read.mjs"), stdin=taken, stdout=PIPE)
        async with curl, reader as process:
            os.close(taken)
            os.close(given)
            async for kind, event_id, data, retry in _lines(process):
                last_id, retry_ms = event_id or last_id, retry or retry_ms
                if kind:
                    viewer.events.append(Event(kind, last_id, data))
            if await process.wait():
                viewer.events.append(Event("the reader failed", last_id, ""))
        await asyncio.sleep(retry_ms / 1_000)


async def watch_with_eventsource(viewers: dict[str, tuple[Viewer, str]], output: Path) -> None:
    """All of them in one process; by name, with their URLs."""
    arguments = [text for name, (_, url) in viewers.items() for text in (name, url)]
    async with running(output, "node", str(JS / "watch.mjs"), *arguments, stdout=PIPE) as process:
        async for name, kind, last_id, data in _lines(process):
            viewers[name][0].events.append(Event(kind, last_id, data))


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[Any]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield orjson.loads(line)
