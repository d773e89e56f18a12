"""The embedded service behind a real server on a free port, in the test's own loop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from livecomments.web.server import DrainingServer, listening_socket
from livecomments_command.assembly.embedded import Embedded, Seams, embedded_service
from livecomments_command.settings import RunSettings

READY_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Served:
    """A running deployment, and a client for it."""

    url: str
    service: Embedded
    server: DrainingServer
    client: aiohttp.ClientSession

    async def token(self, name: str = "Ana") -> str:
        """A new guest's session token."""
        async with self.client.post("/sessions", json={"displayName": name}) as answer:
            assert answer.status == 201
            return str((await answer.json())["sessionToken"])

    async def post(self, video_id: str, message: str, token: str, key: str | None = None) -> tuple[int, dict[str, Any]]:
        """Status and body of a POST."""
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        async with self.client.post(f"/comments/{video_id}", json={"message": message}, headers=headers) as answer:
            return answer.status, await answer.json()

    async def page(self, video_id: str, **query: Any) -> dict[str, Any]:
        """A history page that must be 200."""
        async with self.client.get(f"/comments/{video_id}", params=query) as answer:
            assert answer.status == 200, await answer.text()
            page: dict[str, Any] = await answer.json()
            return page


@asynccontextmanager
async def served(data_dir: Path, seams: Seams | None = None, **values: Any) -> AsyncIterator[Served]:
    """Serve with these settings; drained and closed when left."""
    settings = RunSettings(data_dir=data_dir, **{"partitions": 2, "drain_s": 2.0, **values})
    listening = listening_socket("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    started = asyncio.Event()
    async with embedded_service(settings, seams) as service:

        async def drain() -> None:
            await service.hub.drain(settings.drain_s)

        server = DrainingServer(
            service.app, started.set, drain, claim=service.claim, cors=service.cors, takes_signals=False
        )
        serving = asyncio.create_task(server.serve([listening]))
        async with asyncio.timeout(READY_TIMEOUT_S):
            await started.wait()
            for partition in range(settings.partitions):
                await service.follower.ready_partition(partition, READY_TIMEOUT_S)
        try:
            async with aiohttp.ClientSession(url) as client:
                yield Served(url, service, server, client)
        finally:
            server.should_exit = True
            await serving
