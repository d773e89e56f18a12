"""The bytes of a stream, as the standard says and as a parser that is not ours reads them.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html, "Parsing an event stream".
"""

import asyncio
import contextlib
import itertools
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from livecomments.log.interface import CommentLog
from livecomments_schemas.events import Author, NewRecord, comment_created, comment_deleted
from livecomments_schemas.positions import comment_id, first_position, position_at
from tests.conformance.programs import JS, running, why_missing
from tests.conformance.story import TEXTS
from tests.live.stream import until
from tests.npm import bring_packages
from tests.served import served

pytestmark = pytest.mark.live

VIDEO = "wire"
FIELDS = {"", "event", "id", "data", "retry"}
FORMS = ("plain", "gzip")
LANES = ("transport", "kept", "asgi")
"""Ways to be served. `kept`: by the transport lane, as the second request of a connection."""
PIECES = ((), (1,), (3, 1, 7), (64,))
"""Sizes that the bytes are cut into before they are parsed, by turns."""


class Caught(NamedTuple):
    """One whole response, as curl has taken it apart: chunks joined, and decompressed if it came so."""

    head: str
    body: bytes


class Wire(NamedTuple):
    """Responses by (compressed, lane), and what they hold. `ahead`: to one who asked for what is not there yet."""

    after: str
    caught: dict[tuple[str, str], Caught]
    ahead: Caught
    written: list[tuple[str, str, object]]


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Wire:
    reason = why_missing("curl") or bring_packages(JS)
    if reason:
        pytest.skip(reason)
    return asyncio.run(catch(tmp_path_factory.mktemp("wire")))


async def write(log: CommentLog) -> list[tuple[str, str, object]]:
    """Append the texts and a delete; returns what viewers are to see of them: kind, id, and message or target."""

    async def append(record: NewRecord) -> str:
        return comment_id(position_at(log.epoch, await log.append(0, record)), 0)

    seen: list[tuple[str, str, object]] = []
    for text in TEXTS:
        record = comment_created(VIDEO, text, Author("u1", "Ana\u2028"), created_at_ms=1_700_000_000_000)
        seen.append(("comment", await append(record), text))
    target = seen[0][1]
    seen.append(("delete", await append(comment_deleted(VIDEO, target, "u1")), target))
    return seen


async def catch(folder: Path) -> Wire:
    """Open all streams, write, and end them by a drain."""
    async with served(folder / "data", partitions=1, heartbeat_interval_s=0.2) as deployment:
        log = deployment.service.follower.log
        first = comment_id(first_position(log.epoch) - 1, 0)
        url = f"{deployment.url}/comments/{VIDEO}/stream"
        asked = {
            (form, lane): _curl(folder / f"{form}-{lane}", f"{url}?after={first}", form, lane, deployment.url)
            for form, lane in itertools.product(FORMS, LANES)
        }
        ahead = comment_id(first_position(log.epoch) + 1_000, 0)
        folders = [folder / "-".join(each) for each in asked] + [folder / "ahead"]
        async with contextlib.AsyncExitStack() as until_over:
            curls = [
                await until_over.enter_async_context(each)
                for each in [*asked.values(), _curl(folders[-1], f"{url}?after={ahead}", "gzip", "transport", "")]
            ]
            bodies = [each / "body" for each in folders]
            await until(lambda: all(b"heartbeat" in _read(body) for body in bodies), "all open")
            written = await write(log)
            last = written[-1][1].encode()
            heartbeat = b"event: heartbeat\nid: " + last
            await until(lambda: all(heartbeat in _read(body) for body in bodies), "all written")
            deployment.server.should_exit = True
            assert [await curl.wait() for curl in curls] == [0] * len(curls)
    caught = [Caught((each / "head").read_text().lower(), (each / "body").read_bytes()) for each in folders]
    return Wire(first, dict(zip(asked, caught, strict=False)), caught[-1], written)


@contextlib.asynccontextmanager
async def _curl(folder: Path, url: str, form: str, lane: str, before: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """In the ASGI lane is what repeats a header."""
    folder.mkdir()  # noqa: ASYNC240 - a moment
    first = ["-sS", "-o", os.devnull, f"{before}/healthz/live", "--next"] if lane == "kept" else []
    repeated = ["-H", "X: 1", "-H", "X: 2"] if lane == "asgi" else []
    output = ["-D", str(folder / "head"), "-o", str(folder / "body")]
    compressed = ["--compressed"] if form == "gzip" else []
    async with running(folder / "said", "curl", *first, "-sSN", *repeated, *compressed, *output, url) as process:
        yield process


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


def parsed(body: bytes, sizes: Sequence[int] = ()) -> list[tuple[str, str, str, int]]:
    """What eventsource-parser makes of it: kind, id, data, retry."""
    command = ["node", str(JS / "read.mjs"), *map(str, sizes)]
    output = subprocess.run(command, input=body, capture_output=True, check=True, timeout=60).stdout
    return [tuple(orjson.loads(line)) for line in output.splitlines()]


def shown(events: list[tuple[str, str, str, int]]) -> list[tuple[str, str, object]]:
    """Of comments and deletes, what a viewer sees."""
    members = {"comment": "message", "delete": "commentId"}
    return [
        (kind, event_id, orjson.loads(data)[members[kind]]) for kind, event_id, data, _ in events if kind in members
    ]


@pytest.fixture(params=list(itertools.product(FORMS, LANES)), ids="-".join)
def caught(request: pytest.FixtureRequest, wire: Wire) -> Caught:
    found = wire.caught[request.param]
    form, lane = request.param
    assert ("content-encoding: gzip" in found.head) == (form == "gzip")
    assert "transfer-encoding: chunked" in found.head, "which tells its end, whatever becomes of the connection"
    assert ("connection: close" in found.head) == (lane != "asgi"), "RFC 9112, 9.6: who is going to close says so"
    return found


def test_a_parser_that_is_not_ours_reads_what_was_written(caught: Caught, wire: Wire) -> None:
    assert shown(parsed(caught.body)) == wire.written


@pytest.mark.parametrize("sizes", PIECES[1:], ids=str)
def test_it_reads_the_same_wherever_the_bytes_are_cut(caught: Caught, sizes: Sequence[int]) -> None:
    assert parsed(caught.body, sizes) == parsed(caught.body)


def test_all_it_holds_are_fields_that_the_standard_names_in_whole_events(caught: Caught) -> None:
    assert caught.body.endswith(b"\n\n")
    assert b"\r" not in caught.body
    assert b"\0" not in caught.body
    assert not caught.body.startswith(b"\xef\xbb\xbf")
    text = caught.body.decode("utf-8", "strict")
    assert {line.partition(":")[0] for line in text.split("\n")} <= FIELDS
    assert "text/event-stream" in caught.head


def test_it_begins_with_the_id_that_was_asked_for(caught: Caught, wire: Wire) -> None:
    """See `consumers.frames.begin_frame`: WebKit would come back after what it never had."""
    assert caught.body.startswith(b":\nevent: begin\nid: %b\nretry: " % wire.after.encode())


def test_every_event_has_data_and_an_id_but_the_last_words(caught: Caught) -> None:
    events = [event for event in parsed(caught.body) if event[0]]
    assert {kind for kind, *_ in events} == {"comment", "delete", "heartbeat", "video", "bye"}
    assert all(event_id for kind, event_id, *_ in events if kind != "bye")
    *_, (kind, event_id, data, _) = events
    assert (kind, event_id, orjson.loads(data)) == ("bye", "", {"reason": "drain"})


def test_ids_never_go_back_and_a_wait_is_never_none(caught: Caught) -> None:
    events = parsed(caught.body)
    ids = [event_id for _, event_id, *_ in events if event_id]
    assert ids == sorted(ids)
    retries = [retry for *_, retry in events if retry]
    assert len(retries) == 2, "at the beginning, and with the bye"
    assert all(1_000 <= retry <= 4_000 for retry in retries)


def test_a_gap_is_read_too(wire: Wire) -> None:
    ((event_id, data),) = ((event_id, data) for kind, event_id, data, _ in parsed(wire.ahead.body) if kind == "gap")
    gap = orjson.loads(data)
    assert (gap["to"], gap["reason"]) == (event_id, "unknown_position")
    assert shown(parsed(wire.ahead.body)) == wire.written


def test_the_parser_is_not_one_that_reads_everything() -> None:
    """What a bug of ours would look like: a line break in the data, a mark in the middle, half an event."""
    assert parsed(b'id: 1\ndata: {"a":\n"b"}\n\n') != parsed(b'id: 1\ndata: {"a":"b"}\n\n')
    assert parsed(b"data: a\n\n\xef\xbb\xbfdata: b\n\n")[1:] != [("message", "", "b", 0)]
    assert parsed(b"data: a\n\ndata: b\n") == [("message", "", "a", 0)]
