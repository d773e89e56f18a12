"""What programs read a stream with, one of each, on one edge: each is told at once, and comes back without a loss.

In a quiet room a reader that waits for more before it hands anything out is told nothing, for ever: Go's was one. So no
heartbeat comes to anybody's help here.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from subprocess import PIPE, CalledProcessError
from typing import Any, Final, NamedTuple

import httpx
import orjson
import pytest

from livecomments_consumers.hub import Hub
from livecomments_schemas.positions import comment_id, first_position
from tests.conformance.programs import JS, build, running, why_missing
from tests.live.stream import until
from tests.npm import bring_packages
from tests.served import Served, served

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

VIDEO: Final = "readers"
WAYS: Final = ("undici", "eventsource", "event-source-polyfill", "fetch-event-source")
BUILT: Final = ("go", "jdk", "okhttp", "rust")
READERS: Final = (*BUILT, *WAYS, "httpx", "curl-http2")
ENDS: Final = {
    "go": "unexpected EOF",
    "jdk": "java.io.EOFException: Unexpected end of ZLIB input stream",
    "okhttp": "java.io.EOFException: source exhausted prematurely",
    "rust": "corrupt deflate stream",
}
"""What these make of the end of a compressed stream, which is no end of a gzip file: docs/GOTCHAS.md. All others
take it for what it is."""
_QUICK_S: Final = 10.0
"""From a POST to a reader, on a machine that does much else."""
_JOIN_S: Final = 120.0
_ROTATIONS: Final = 2


class Reader(NamedTuple):
    """One program, and all it has said. `why_not`: it cannot be had here."""

    name: str
    events: list[tuple[str, str, str]]
    why_not: str | None

    @property
    def comments(self) -> list[str]:
        return [event_id for kind, event_id, _ in self.events if kind == "comment"]

    @property
    def ends(self) -> list[str]:
        return [why for kind, _, why in self.events if kind == "end"]

    def has(self, kind: str, count: int = 1) -> bool:
        return sum(event[0] == kind for event in self.events) >= count


class Told(NamedTuple):
    """What came of it."""

    posted: list[str]
    readers: dict[str, Reader]
    late: dict[str, str]
    """Of each reader that was late, for what."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    return asyncio.run(tell(tmp_path_factory.mktemp("readers")))


async def tell(folder: Path) -> Told:
    """A comment in a quiet room, then two rotations with a comment before, between and after."""
    readers = {name: Reader(name, [], why_not(name)) for name in READERS}
    commands = {name: await asyncio.to_thread(command_of, name, folder) for name, one in readers.items() if not one[2]}
    here = [readers[name] for name in commands]
    late: dict[str, str] = {}

    async def everybody(what: str, holds: Callable[[Reader], bool], within_s: float) -> None:
        try:
            await until(lambda: all(holds(one) for one in here if one.name not in late), what, within_s)
        except TimeoutError:
            late.update({one.name: what for one in here if one.name not in late and not holds(one)})

    async with (
        served(folder / "data", partitions=1, heartbeat_interval_s=600.0) as deployment,
        AsyncExitStack() as stack,
    ):
        token, posted = await deployment.token(), list[str]()
        after = comment_id(first_position(deployment.service.follower.log.epoch) - 1, 0)
        url = f"{deployment.url}/comments/{VIDEO}/stream?after={after}"
        watching = [asyncio.create_task(watch(one, commands[one.name], url, folder)) for one in here]
        stack.push_async_callback(_end, watching)

        async def post() -> None:
            _, comment = await deployment.post(VIDEO, f"comment {len(posted)}", token)
            posted.append(comment["commentId"])

        await everybody("the beginning", lambda one: one.has("heartbeat"), _JOIN_S)
        await post()
        await everybody("a comment in a quiet room", lambda one: len(one.comments) == 1, _QUICK_S)
        for turn in range(1, _ROTATIONS + 1):
            rotate(deployment)
            await post()
            await everybody(f"rotation {turn}", lambda one: one.has("bye", turn), _QUICK_S)  # noqa: B023 - awaited here
            await post()
            await everybody(f"after rotation {turn}", lambda one: len(one.comments) >= len(posted), _JOIN_S)
    return Told(posted, readers, late)


def rotate(deployment: Served) -> None:
    """End every stream with a word, as when its time is over."""
    hub: Hub = deployment.service.hub
    for lane in list(hub._channels[VIDEO].lanes):
        lane.viewer.begin_bye("rotate", hub.retry_ms())
        hub.passes.advance(lane)


def why_not(name: str) -> str | None:
    """What to install for this reader, None if it can be had."""
    program = {"curl-http2": "curl", "httpx": "httpx-sse"}.get(name, name)
    if program in WAYS:
        program = "node"
    return why_missing(program) or (bring_packages(JS) if program in ("node", "curl") else None)


def command_of(name: str, folder: Path) -> tuple[str, ...]:
    """The command of a reader, built if it must be."""
    if name in WAYS:
        return ("node", str(JS / "reader.mjs"), name)
    if name in BUILT:
        try:
            (folder / name).mkdir()
            return build(name, folder / name)
        except CalledProcessError as error:
            pytest.fail(f"{name} cannot be built: {error}")
    return ()


async def watch(reader: Reader, command: tuple[str, ...], url: str, folder: Path) -> None:
    """Note what a reader says, until cancelled."""
    log = folder / f"{reader.name}.log"
    if reader.name == "httpx":
        await read_with_httpx(reader, url)
    elif reader.name == "curl-http2":
        await read_with_curl(reader, url, log)
    else:
        async with running(log, *command, url, stdout=PIPE) as process:
            async for line in _lines(process):
                reader.events.append(line)


async def read_with_httpx(reader: Reader, url: str) -> None:
    """With nothing but httpx."""
    last_id, retry_ms = "", 3_000
    async with httpx.AsyncClient(timeout=httpx.Timeout(10, read=None)) as client:
        while True:
            async with client.stream("GET", url, headers={"Last-Event-ID": last_id} if last_id else {}) as answer:
                event: dict[str, str] = {}
                async for line in answer.aiter_lines():
                    if line:
                        name, _, value = line.partition(":")
                        event[name] = value.removeprefix(" ")
                        continue
                    last_id, retry_ms = event.get("id", last_id), int(event.get("retry", retry_ms))
                    if "data" in event:
                        reader.events.append((event.get("event", ""), last_id, event["data"]))
                    event = {}
            reader.events.append(("end", "", "clean"))
            await asyncio.sleep(retry_ms / 1_000)


async def read_with_curl(reader: Reader, url: str, log: Path) -> None:
    """curl, which offers to change to HTTP/2; eventsource-parser reads what it prints."""
    last_id, retry_ms = "", 3_000
    while True:
        header = ["-H", f"Last-Event-ID: {last_id}"] if last_id else []
        taken, given = os.pipe()
        curl = running(log, "curl", "--http2", "-sSN", "--compressed", *header, url, stdout=given)
        async with curl as process, running(log, "node", str(JS / "read.mjs"), stdin=taken, stdout=PIPE) as parser:
            os.close(taken)
            os.close(given)
            async for kind, event_id, data, retry in _lines(parser):
                last_id, retry_ms = event_id or last_id, retry or retry_ms
                if kind:
                    reader.events.append((kind, last_id, data))
            status = await process.wait()
            reader.events.append(("end", "", f"curl {status}" if status else "clean"))
        await asyncio.sleep(retry_ms / 1_000)


async def _lines(process: asyncio.subprocess.Process) -> AsyncIterator[Any]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield tuple(orjson.loads(line))


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(params=READERS)
def reader(request: pytest.FixtureRequest, told: Told) -> Reader:
    found = told.readers[request.param]
    if found.why_not:
        pytest.skip(found.why_not)
    return found


def test_it_was_told_at_once_and_came_back_without_a_loss(reader: Reader, told: Told) -> None:
    assert reader.name not in told.late, told.late
    assert reader.comments == told.posted


def test_it_takes_the_end_of_a_stream_as_the_docs_say(reader: Reader) -> None:
    if reader.name not in ("eventsource", "event-source-polyfill"):  # they do not tell
        assert len(reader.ends) >= _ROTATIONS
        assert all(ENDS.get(reader.name, "clean") in why for why in reader.ends)
