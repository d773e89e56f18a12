"""A proxy in front of a deployment that cuts connections, loses answers, and gives answers of its own."""

import asyncio
from typing import Self
from urllib.parse import urlsplit

_BYTES_MAX = 65_536


class Relay:
    """Relays to `upstream`; each new connection first takes its turn of `answers`, then of `lost_answers`."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._to = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.answers: list[bytes] = []
        """Given instead of the deployment's."""
        self.lost_answers = 0
        """Of so many POSTs of comments the answer is lost, after they were written."""
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> None:
        """End all connections, in the midst of whatever they bring."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            asked = await reader.read(_BYTES_MAX)
            if self.answers:
                writer.write(self.answers.pop(0))
                await writer.drain()
                return
            up_reader, up_writer = await asyncio.open_connection(*self._to)
            self._writers.add(up_writer)
            up_writer.write(asked)
            loses = self.lost_answers > 0 and asked.startswith(b"POST /comments/")
            self.lost_answers -= loses
            up = asyncio.create_task(_pipe(reader, up_writer))
            try:
                if loses:
                    await up_reader.read(1)
                else:
                    await _pipe(up_reader, writer)
            finally:
                up.cancel()
                up_writer.transport.abort()
                self._writers.discard(up_writer)
        except OSError:
            pass  # either side has gone
        finally:
            self._writers.discard(writer)
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_BYTES_MAX):
        writer.write(piece)
        await writer.drain()
