"""The whole tool against a small deployment of the public interface: a right one passes, planted bugs are found."""

import asyncio
import io
import socket
from bisect import bisect_right
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import NamedTuple

import orjson
import pytest
import uvicorn
import uvloop
from rich.console import Console
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from livecomments_loadtest import DeploymentUnavailable, LoadPlan, Report, run_load
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id, position_at

BEFORE = comment_id(BEFORE_EVERYTHING, 0)
MARKED = 9
"""The place in each video of the record that the planted bugs are about."""


class Bug(Enum):
    NONE = auto()
    DUPLICATE = auto()
    MISSING = auto()
    INVERSION = auto()
    GAP = auto()
    OTHER_BYTES = auto()
    DELETE_IGNORED = auto()
    DELETE_NOT_STREAMED = auto()
    REPEAT_IS_WRITTEN_AGAIN = auto()
    HISTORY_MISSES_ONE = auto()
    HISTORY_ON_JOIN_IS_SHORT = auto()
    RESUME_STARTS_OVER = auto()


class Entry(NamedTuple):
    """`data` is the event's; `target` the deleted comment's id, empty for a comment."""

    id: str
    data: bytes
    target: str = ""


EntryOf = Callable[[str], Entry]


class Deployment:
    """The public interface of DESIGN section 4, one process, in memory, with a failure now and then as a real one."""

    def __init__(self, bug: Bug) -> None:
        self.bug = bug
        self.logs: dict[str, list[Entry]] = defaultdict(list)
        self.deleted: set[str] = set()
        self.keys: dict[tuple[str, str, str], bytes] = {}
        self.changed = asyncio.Condition()
        self.offset = 0
        self.posts = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/sessions", self.open_session, methods=["POST"]),
                Route("/comments/{video}", self.post, methods=["POST"]),
                Route("/comments/{video}", self.page),
                Route("/comments/{video}/stream", self.stream),
                Route("/comments/{video}/{comment}", self.delete, methods=["DELETE"]),
                Route("/metrics", self.metrics),
            ]
        )

    async def open_session(self, request: Request) -> Response:
        name = orjson.loads(await request.body())["displayName"].replace(" ", "-")
        return _json({"sessionToken": f"token-{name}", "userId": name, "expiresAt": "2030-01-01T00:00:00Z"}, 201)

    async def metrics(self, request: Request) -> Response:
        return PlainTextResponse(f'livecomments_history_reads_total{{source="tail"}} {self.posts}.0\n')

    async def append(self, video: str, entry_of: EntryOf) -> Entry:
        entry = entry_of(comment_id(position_at(1, self.offset), 0))
        self.offset += 1
        self.logs[video].append(entry)
        async with self.changed:
            self.changed.notify_all()
        return entry

    async def post(self, request: Request) -> Response:
        video, author = request.path_params["video"], request.headers["authorization"].removeprefix("Bearer token-")
        message = orjson.loads(await request.body())["message"]
        self.posts += 1
        if self.posts % 29 == 0:
            return _json({"code": "overloaded"}, 503)
        key = (video, author, request.headers["idempotency-key"])
        if key not in self.keys or self.bug is Bug.REPEAT_IS_WRITTEN_AGAIN:

            def comment(its_id: str) -> Entry:
                members = {"commentId": its_id, "videoId": video, "message": message.strip()}
                body = orjson.dumps({**members, "author": {"id": author, "displayName": author}})
                self.keys[key] = body
                return Entry(its_id, body)

            await self.append(video, comment)
        if self.posts % 23 == 0:
            return _json({"code": "append_unknown"}, 503)
        return Response(self.keys[key], 201, media_type="application/json")

    async def delete(self, request: Request) -> Response:
        target = request.path_params["comment"]
        if self.bug is not Bug.DELETE_IGNORED:
            self.deleted.add(target)
            data = orjson.dumps({"commentId": target})
            await self.append(request.path_params["video"], lambda its_id: Entry(its_id, data, target))
        return Response(status_code=204)

    async def page(self, request: Request) -> Response:
        query = request.query_params
        video, size, newest_first = request.path_params["video"], int(query["pageSize"]), query.get("sort") != "asc"
        log = self.logs[video]
        entries = [entry for entry in log if not entry.target and entry.id not in self.deleted]
        if self.bug is Bug.HISTORY_MISSES_ONE and "sort" in query:
            del entries[1:2]
        entries.sort(reverse=newest_first)
        if "cursor" in query:
            entries = [entry for entry in entries if (entry.id < query["cursor"]) is newest_first]
            entries = [entry for entry in entries if entry.id != query["cursor"]]
        shown = entries[: max(1, size - 1)]  # short pages with a cursor are legal
        next_cursor = f'"{shown[-1].id}"' if len(shown) < len(entries) else "null"
        items = b", ".join(entry.data for entry in shown)
        link = f"/comments/{video}/stream?after={log[-1].id if log else BEFORE}"
        body = b'{"comments": [%s], "nextCursor":%s, "streamUrl":"%s"}' % (items, next_cursor.encode(), link.encode())
        return Response(body, media_type="application/json")

    async def stream(self, request: Request) -> Response:
        log = self.logs[request.path_params["video"]]
        after = request.headers.get("last-event-id") or request.query_params.get("after")
        at = len(log)
        if after is not None:
            at = bisect_right([entry.id for entry in log], after)
            at = max(0, at - 1) if self.bug is Bug.RESUME_STARTS_OVER else at
        elif "history" in request.query_params:
            wanted = int(request.query_params["history"])
            wanted = 1 if self.bug is Bug.HISTORY_ON_JOIN_IS_SHORT else wanted
            places = [n for n, entry in enumerate(log) if not entry.target and entry.id not in self.deleted]
            at = places[-wanted:][0] if places else at
        return StreamingResponse(self.frames(log, at), media_type="text/event-stream")

    async def frames(self, log: list[Entry], at: int) -> AsyncIterator[bytes]:
        yield b"retry: 30\r\n\r\n"
        held = b""
        for count in range(15):
            if count < 2:
                yield _frame("heartbeat", log[at - 1].id if at else BEFORE, b'{"everyMs":15000}')
            for place, entry in enumerate(log[at:], at):
                frames = self.frame(entry, marked=place == MARKED)
                if self.bug is Bug.INVERSION and place == MARKED:
                    held = frames
                else:
                    yield frames + held
                    held = b""
                at = place + 1
            async with self.changed:
                while len(log) == at:
                    await self.changed.wait()
        yield b"event: bye\ndata: {}\n\n"

    def frame(self, entry: Entry, *, marked: bool) -> bytes:
        if entry.target:
            return b"" if self.bug is Bug.DELETE_NOT_STREAMED else _frame("delete", entry.id, entry.data)
        if entry.id in self.deleted:
            return b""
        frame = _frame("comment", entry.id, entry.data)
        if marked and self.bug is Bug.GAP:
            return _frame("gap", entry.id, orjson.dumps({"from": BEFORE, "to": entry.id, "reason": "planted"}))
        planted = {Bug.DUPLICATE: frame * 2, Bug.MISSING: b"", Bug.OTHER_BYTES: frame.replace(b'":"', b'": "', 2)}
        return planted.get(self.bug, frame) if marked else frame


def _frame(kind: str, event_id: str, data: bytes) -> bytes:
    return b"event: %s\nid: %s\ndata: %s\n\n" % (kind.encode(), event_id.encode(), data)


def _json(members: dict[str, str], status: int) -> Response:
    return Response(orjson.dumps(members), status, media_type="application/json")


@asynccontextmanager
async def served(bug: Bug) -> AsyncIterator[str]:
    config = uvicorn.Config(
        Deployment(bug).app(), lifespan="off", ws="none", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    # Said to be TCP, or asyncio leaves out TCP_NODELAY and every answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def play(bug: Bug, deadline_s: float) -> tuple[Report, str]:
    console = Console(file=io.StringIO(), width=200)
    async with served(bug) as url:
        plan = LoadPlan(
            url=url,
            chat=CHAT,
            videos=3,
            viewers=24,
            comments=240,
            speed=120,
            authors_max=20,
            drop_rate=300,
            deadline_s=deadline_s,
            delete_share=0.1,
            repeat_share=0.2,
        )
        report = await run_load(plan, console)
    console.print(report.table())
    assert isinstance(console.file, io.StringIO)
    return report, console.file.getvalue()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_right_deployment_passes(
    run: Callable[[Coroutine[None, None, tuple[Report, str]]], tuple[Report, str]],
) -> None:
    report, shown = run(play(Bug.NONE, deadline_s=30))
    assert report.ok, shown
    counts = report.counts
    assert counts["posted"] == counts["acked"] == 240
    assert counts["deleted"] > 0
    assert counts["sent again"] > 0
    assert report.events["resumes"] > 0
    assert report.events["closed by the server"] <= report.events["byes"]  # nothing else ended a stream
    assert report.events["dropped in an event"] > 0
    assert report.events["byes"] > 0
    assert report.events["post retried: 503 append_unknown"] > 0
    assert report.post_to_screen_ms["count"] > 0
    assert report.served_from is not None
    assert report.served_from["history reads from tail"] > 240
    assert orjson.loads(orjson.dumps(report.to_json()))["ok"] is True


@pytest.mark.parametrize(
    ("bug", "found_as"),
    [
        (Bug.DUPLICATE, "twice"),
        (Bug.MISSING, "lost"),
        (Bug.INVERSION, "out of order"),
        (Bug.GAP, "gaps"),
        (Bug.OTHER_BYTES, "bytes unequal"),
        (Bug.DELETE_IGNORED, "deletes not honoured"),
        (Bug.DELETE_NOT_STREAMED, "deletes not honoured"),
        (Bug.REPEAT_IS_WRITTEN_AGAIN, "retries disagree"),
        (Bug.HISTORY_MISSES_ONE, "history wrong"),
        (Bug.HISTORY_ON_JOIN_IS_SHORT, "history on join wrong"),
        (Bug.RESUME_STARTS_OVER, "twice"),
    ],
)
async def test_a_planted_bug_is_found(bug: Bug, found_as: str) -> None:
    report, shown = await play(bug, deadline_s=2)
    assert not report.ok
    assert report.findings[found_as].count > 0, shown
    assert report.findings[found_as].examples[0] in shown


async def test_a_deployment_that_does_not_answer_is_said_so() -> None:
    """At once, whatever the deadline, and with what to do."""
    plan = LoadPlan(url="http://127.0.0.1:9", chat=CHAT, deadline_s=3_600)
    said = r"Nothing answers at http://127.0.0.1:9 \(ConnectionRefusedError\). Start one .*livecomments run"
    with pytest.raises(DeploymentUnavailable, match=said):
        await run_load(plan, Console(file=io.StringIO()))
