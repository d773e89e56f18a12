"""Reports on a real Kafka and a real CQL store: said, dismissed, listed, exported, and the same out of a replay."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.local.ports import free_port
from livecomments.cql.migrations import migrate
from livecomments.runtime.settings import PREFIX
from tests.gateway.test_answers import JWT, signed
from tests.live.stream import Deployment, Worker, deployment, process_of
from tests.live.test_contract import ready
from tests.live.test_data_commands import command
from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

VIDEO = "launch"
SHOWN = f"/videos/{VIDEO}/reports"
MODERATOR = signed(sub="idris", roles=["moderate"])


@pytest.fixture
async def running(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path) as made:
        await made.start().started()
        yield made


@pytest.fixture
async def gateway(running: Deployment, tmp_path: Path) -> AsyncIterator[Callable[[str], Worker]]:
    """Starts gateways that read a keyspace."""
    workers: list[Worker] = []

    def start(keyspace: str) -> Worker:
        own = {name: value for name, value in running.environ.items() if name.startswith(PREFIX)}
        values = {name.removeprefix(PREFIX): value for name, value in own.items()}
        values |= {name.upper(): value for name, value in JWT.items()}
        values |= {"PORT": str(free_port()), "INTERNAL_PORT": str(free_port()), "SESSION_SECRET": "s" * 32}
        values["CQL_KEYSPACE"] = keyspace
        workers.append(process_of("gateway", values, tmp_path / f"gateway-{len(workers)}"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


async def ask(client: aiohttp.ClientSession, method: str, path: str, token: str, said: Any = None) -> Any:
    async with client.request(method, path, json=said, headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.ok, await answer.text()
        return None if answer.status == 204 else await answer.json()


async def test_what_was_reported_is_the_same_picture_out_of_the_store_and_out_of_an_export(
    running: Deployment, gateway: Callable[[str], Worker], cql_address: str, tmp_path: Path
) -> None:
    async with await ready(gateway(running.keyspace)) as client:
        odd, rude, spam = [
            (await ask(client, "POST", f"/comments/{VIDEO}", signed(sub="rude"), {"message": text}))["commentId"]
            for text in ("odd", "rude", "spam")
        ]
        for person, of, reason in (("a", odd, "other"), ("a", rude, "abuse"), ("b", rude, "spam"), ("a", spam, "spam")):
            await ask(client, "PUT", f"{SHOWN}/{of}", signed(sub=person), {"reason": reason})
        await ask(client, "DELETE", f"{SHOWN}/{odd}", MODERATOR)
        await ask(client, "DELETE", f"/comments/{VIDEO}/{spam}", MODERATOR)
        seen = await ask(client, "GET", SHOWN, MODERATOR)
    (one,) = seen["reports"]
    assert (one["comment"]["message"], one["reasons"]) == ("rude", {"abuse": 1, "spam": 1})

    await running.complete()
    directory, keyspace = str(tmp_path / "export"), new_keyspace()
    await asyncio.to_thread(command, running, "export", directory)
    assert "no difference" in await asyncio.to_thread(command, running, "verify", "--export", directory)
    await asyncio.to_thread(migrate, cql_address, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    try:
        # The log keeps each partition's newest record: all of a report comes from the store, or from the export.
        await running.forget_before({number: end - 1 for number, end in (await running.ends()).items() if end})
        await asyncio.to_thread(command, running, "rebuild", "--from-export", directory, cql_keyspace=keyspace)
        for of in (running.keyspace, keyspace):
            async with await ready(gateway(of)) as client:
                assert await ask(client, "GET", SHOWN, MODERATOR) == seen
    finally:
        await asyncio.to_thread(drop_keyspace, cql_address, keyspace)
