"""A TCP line between a client and a server that a test can freeze, cut and mend."""

import asyncio
from types import TracebackType
from typing import Final

_READ_BYTES: Final = 65_536


class Line:
    """Listens on a free port and carries bytes to and from `address`. An async context manager."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
        self._flowing.set()
        await self._server.wait_closed()

    def freeze(self) -> None:
        """Connections stay open and carry nothing, as when a machine is gone without a word."""
        self._flowing.clear()

    def cut(self) -> None:
        """Connections are closed, and new ones at once, as when a server is stopped."""
        self._is_cut = True
        for writer in self._writers:
            writer.close()

    def mend(self) -> None:
        """New connections carry again, and frozen ones that are still open."""
        self._is_cut = False
        self._flowing.set()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, server_writer}
        self._writers |= ends
        try:
            await asyncio.gather(self._pump(reader, server_writer), self._pump(server_reader, writer))
        finally:
            self._writers -= ends

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
