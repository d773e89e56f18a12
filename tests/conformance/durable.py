"""A server of durable streams that takes whatever bytes the public suite writes, and reads them by the real edge.

Each stream is a video, each message a comment of its log: of JSON its text, else of base64, cut to what a comment may
be long. Offsets, cursors, waiting, lifetimes and conditional answers are the edge's own; bodies are translated, and
what there is only because somebody may write (PUT, POST, content types) is made up here.
"""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
from aiohttp import web

from livecomments_schemas.events import Author, comment_created
from livecomments_schemas.positions import position_at
from tests.consumers.streams import until
from tests.served import Served

_BODY_BYTES_MAX: Final = 1 << 20
_JSON: Final = "application/json"
_PIECE_CHARS: Final = 400
"""Base64 has four signs for three bytes, so that pieces of it are base64 as well."""
_PASSED_ON: Final = ("If-None-Match", "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
_DROPPED: Final = ("content-length", "content-type", "transfer-encoding", "connection", "date", "server")
_OFFSET: Final = "Stream-Next-Offset"
_DATA: Final = b"event: data\ndata:"
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


class DurableServer:
    """The suite's server, before an edge that runs in the same loop.

    Args:
        running: with the edge.
        only_writes: who reads is sent on to the edge, and given what that says.
    """

    def __init__(self, running: Served, *, only_writes: bool) -> None:
        self._running = running
        self._only_writes = only_writes
        self._types: dict[str, str] = {}

    @classmethod
    @asynccontextmanager
    async def before(cls, running: Served, *, only_writes: bool = False) -> AsyncIterator[str]:
        """Serve until left; gives the address."""
        server = cls(running, only_writes=only_writes)
        app = web.Application(client_max_size=_BODY_BYTES_MAX)
        app.router.add_route("*", "/{path:.*}", server._answer)
        runner = web.AppRunner(app, shutdown_timeout=0, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        video_id = hashlib.md5(request.path.encode()).hexdigest()
        if request.method == "PUT":
            return await self._create(request, video_id)
        if request.method == "OPTIONS":
            return await self._read(request, video_id, _JSON)
        kind = self._types.get(video_id)
        if kind is None:
            return web.Response(status=404)
        if request.method == "POST":
            return await self._append(request, video_id, kind)
        if self._only_writes:
            raise web.HTTPTemporaryRedirect(f"{self._running.url}/streams/{video_id}?{request.query_string}")
        return await self._read(request, video_id, kind)

    async def _create(self, request: web.Request, video_id: str) -> web.Response:
        kind = request.headers.get("Content-Type", "application/octet-stream")
        known = self._types.setdefault(video_id, kind)
        if known is not kind and known != kind:
            return web.Response(status=409)
        body = await request.read()
        if known is kind and body not in (b"", b"[]"):
            await self._write(video_id, kind, body)
        headers = {_OFFSET: await self._end(video_id), "Content-Type": kind, "Location": str(request.url)}
        return web.Response(status=201 if known is kind else 200, headers=headers)

    async def _append(self, request: web.Request, video_id: str, kind: str) -> web.Response:
        if _bare(request.headers.get("Content-Type", "")) != _bare(kind):
            return web.Response(status=409)
        try:
            await self._write(video_id, kind, await request.read())
        except ValueError:
            return web.Response(status=400)
        return web.Response(status=204, headers={_OFFSET: await self._end(video_id)})

    async def _write(self, video_id: str, kind: str, body: bytes) -> None:
        """Append to the log; the edge has it when this returns. Raises ValueError: it says nothing."""
        if not body:
            raise ValueError("It is empty.")
        if _bare(kind) == _JSON:
            said = json.loads(body)
            texts = [json.dumps(each) for each in (said if isinstance(said, list) else [said])]
        else:
            text = base64.b64encode(body).decode()
            texts = [text[at : at + _PIECE_CHARS] for at in range(0, len(text), _PIECE_CHARS)]
        if not texts:
            raise ValueError("There is no message in it.")
        home, followed = self._running.service.hub.home(video_id)
        assert followed is not None
        log = self._running.service.follower.log
        offset = 0
        for text in texts:
            record = comment_created(video_id, text, Author("a", "A"), created_at_ms=0)
            offset = await log.append(home.partition, record)
        await until(lambda: followed.judged_through >= position_at(log.epoch, offset))

    async def _end(self, video_id: str) -> str:
        async with self._running.client.head(f"/streams/{video_id}") as answer:
            return answer.headers[_OFFSET]

    async def _read(self, request: web.Request, video_id: str, kind: str) -> web.StreamResponse:
        """Ask the edge, and give its answer with the bytes that were written."""
        asked = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = f"/streams/{video_id}?{request.query_string}"
        timeout = aiohttp.ClientTimeout()
        async with self._running.client.request(request.method, url, headers=asked, timeout=timeout) as answer:
            headers = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            headers["Content-Type"] = kind
            if answer.content_type == "text/event-stream":
                headers["Content-Type"] = answer.headers["Content-Type"]
                return await _tell(request, answer, headers, kind)
            body = await answer.read()
            if answer.status == 200 and body:
                body = _written(json.loads(body), kind)
            return web.Response(status=answer.status, headers=headers, body=body)


async def _tell(
    request: web.Request, answer: aiohttp.ClientResponse, headers: dict[str, str], kind: str
) -> web.StreamResponse:
    is_text = _bare(kind) == _JSON or kind.startswith("text/")
    if not is_text:
        headers["Stream-SSE-Data-Encoding"] = "base64"
    told = web.StreamResponse(headers=headers)
    await told.prepare(request)
    rest = b""
    async for piece in answer.content.iter_any():
        *events, rest = (rest + piece).split(b"\n\n")
        for event in events:
            if event.startswith(_DATA):
                body = _written(json.loads(event.removeprefix(_DATA)), kind)
                lines = _LINE_END.split(body) if is_text else [base64.b64encode(body)]
                event = b"event: data" + b"".join(b"\ndata:" + line for line in lines)
            with suppress(ConnectionResetError):  # the suite has seen enough
                await told.write(event + b"\n\n")
    return told


def _written(messages: list[dict[str, Any]], kind: str) -> bytes:
    texts = [message["message"] for message in messages]
    if _bare(kind) == _JSON:
        return f"[{','.join(texts)}]".encode()
    return b"".join(map(base64.b64decode, texts))


def _bare(kind: str) -> str:
    return kind.partition(";")[0].strip().lower()
