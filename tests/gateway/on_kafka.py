"""A gateway over HTTP whose log is a real Kafka, for tests that stop, kill and race."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.reading import History
from livecomments.kafka.log import KafkaLog
from livecomments.log.revocations import Revocations
from livecomments.log.topics import REVOCATIONS_TOPIC
from livecomments.sqlite import DurableFile
from livecomments.web.server import DrainingServer, listening_socket
from livecomments_command.assembly.following import make_follower
from livecomments_command.assembly.serving import make_app
from livecomments_command.assembly.writing import make_posting, make_tokens, token_secrets
from livecomments_command.settings import RunSettings
from livecomments_consumers.app import stream_route
from livecomments_consumers.hub import Hub
from livecomments_gateway.app import gateway_routes
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id
from tests.gateway.test_answers import signed

DEADLINE_S: Final = 2.0
"""Of an append here; the default is 5 s."""
ANSWER_S: Final = DEADLINE_S + 1.0
"""Any answer comes within this, whatever Kafka does."""
RECOVERY_S: Final = 60.0
TOKEN: Final = signed()
BEFORE_ALL: Final = comment_id(BEFORE_EVERYTHING, 0)
Answer = tuple[int, dict[str, Any]]


class Gateway:
    """A gateway over HTTP, its log a real Kafka."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client

    async def call(self, method: str, path: str, token: str, body: Any = None) -> Answer:
        """Status and body of any call."""
        headers = {"Authorization": f"Bearer {token}"}
        async with self._client.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_length else {}

    async def post(self, message: str, key: str | None = None, token: str = TOKEN) -> Answer:
        """Status and body; how long it took is held to the bound."""
        headers = {"Authorization": f"Bearer {token}"} | ({"Idempotency-Key": key} if key else {})
        began_at = time.monotonic()
        async with self._client.post("/comments/v", json={"message": message}, headers=headers) as answer:
            said = answer.status, await answer.json()
        assert time.monotonic() - began_at < ANSWER_S
        return said

    async def messages(self) -> list[str]:
        """All of the history."""
        async with self._client.get("/comments/v?pageSize=100&sort=asc") as answer:
            assert answer.status == 200, await answer.text()
            return [comment["message"] for comment in (await answer.json())["comments"]]

    async def live(self, count: int) -> list[dict[str, Any]]:
        """The next `count` comments of the stream, from the first one on."""
        heard: list[dict[str, Any]] = []
        async with self._client.get(f"/comments/v/stream?after={BEFORE_ALL}") as answer:
            assert answer.status == 200, await answer.text()
            async for line in answer.content:
                if line.startswith(b'data: {"commentId"'):
                    heard.append(json.loads(line.removeprefix(b"data: ")))
                if len(heard) == count:
                    break
        return heard


@asynccontextmanager
async def serving(
    address: str, topic: str, directory: Path, *, revoked_in: str | None = None
) -> AsyncIterator[Gateway]:
    """One gateway on this topic; its store is its own and stays empty, so that all is read from the log.

    What was revoked is its own knowledge too, unless `revoked_in` names a topic for it.
    """
    settings = RunSettings(
        data_dir=directory,
        append_timeout_s=DEADLINE_S,
        jwt_secret="s" * 64,
        jwt_issuer="https://issuer.example",
        jwt_audience="livecomments",
    )
    async with AsyncExitStack() as stack:
        file = await stack.enter_async_context(DurableFile(directory, LOG_TABLES + STORE_TABLES))
        revoked: KafkaLog | EmbeddedLog = (
            KafkaLog(address, revoked_in, 1) if revoked_in else EmbeddedLog(file, REVOCATIONS_TOPIC, 1, 1)
        )
        await stack.enter_async_context(revoked)
        store = await stack.enter_async_context(EmbeddedStore(file))
        log = await stack.enter_async_context(
            KafkaLog(address, topic, 1, append_timeout_s=DEADLINE_S, appends_soon=True)
        )
        follower = make_follower(log, settings)
        history, revocations = History(follower, store), Revocations(revoked)
        hub, posting = Hub(follower, history, settings), make_posting(follower, history, settings)
        routes = [
            stream_route(hub),
            *gateway_routes(
                follower, history, posting, make_tokens(settings, token_secrets(settings), revocations, None)
            ),
        ]
        listening, started = listening_socket("127.0.0.1", 0), asyncio.Event()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = DrainingServer(make_app(routes), started.set, _nothing, takes_signals=False)
        async with asyncio.TaskGroup() as tasks:
            works = [tasks.create_task(work) for work in (follower.run(), revocations.run(), hub.run())]
            serving = tasks.create_task(server.serve([listening]))
            async with asyncio.timeout(RECOVERY_S):
                await started.wait()
                await follower.ready_partition(0, RECOVERY_S)
                await revocations.ready(RECOVERY_S)
            try:
                async with aiohttp.ClientSession(url) as client:
                    yield Gateway(client)
            finally:
                server.should_exit = True
                await serving
                for work in works:
                    work.cancel()


async def _nothing() -> None:
    """Nothing to drain."""


async def answered(post: Callable[[], Awaitable[Answer]], status: int) -> dict[str, Any]:
    """Post again until it is answered so, as a client would; anything but 503 on the way is a fault."""
    async with asyncio.timeout(RECOVERY_S):
        while (said := await post())[0] != status:
            assert said[0] == 503, said
            await asyncio.sleep(0.05)
    return said[1]
