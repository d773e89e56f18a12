"""A server of ours whose application only tells what reached it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from starlette.types import Receive, Scope, Send

from livecomments.web.bounds import HTTP_LIMITS, HttpLimits
from livecomments.web.server import DrainingServer, listening_socket

SAID: Final = b"this is the application\n"


class Reached(NamedTuple):
    """A request as the application sees it, its content whole."""

    method: str
    path: str
    headers: dict[str, str]
    content: bytes


class Echo:
    """The application; `reached` holds what came, in order."""

    def __init__(self) -> None:
        self.reached: list[Reached] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        content, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            content, more = content + message["body"], message["more_body"]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.reached.append(Reached(scope["method"], scope["path"], headers, content))
        length = [] if scope["path"] == "/chunked" else [(b"content-length", b"%d" % len(SAID))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": SAID})


async def _nothing() -> None:
    """Nothing to drain."""


@asynccontextmanager
async def echoing(limits: HttpLimits = HTTP_LIMITS) -> AsyncIterator[tuple[Echo, int]]:
    """The application behind a server, and its port."""
    echo, started = Echo(), asyncio.Event()
    listening = listening_socket("127.0.0.1", 0)
    server = DrainingServer(echo, started.set, _nothing, takes_signals=False, limits=limits)
    task = asyncio.create_task(server.serve([listening]))
    await started.wait()
    try:
        yield echo, listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task


async def said(port: int, raw: bytes, *, timeout_s: float = 4.0, half_closes: bool = False) -> bytes:
    """All that is answered to these bytes until the connection ends; a status 000 at last if it does not end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(raw)
            if half_closes:
                writer.write_eof()
            while piece := await reader.read(65_536):
                answer += piece
    except ConnectionResetError:
        pass  # it was closed while we still wrote
    except TimeoutError:
        answer += b"HTTP/1.1 000 \r\nthe connection has not ended"
    finally:
        writer.close()
    return answer
