"""The probe on real servers, and what all processes then show: each metric that a rule, dashboard or page names."""

import asyncio
import contextlib
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from infra.dashboards.boards import BOARDS
from infra.local.epochs import own_epoch
from infra.local.ports import HOST, free_port
from tests.docs_tables import declared_metrics
from tests.live.stream import Worker, delete_topics, process_of, until
from tests.monitoring.rules import ROOT, metrics_selected
from tests.store.examples import DATACENTER
from tests.tidy import Tree

KINDS: Final = ("gateway", "edge", "edge", "stream", "counts", "clean")
PARTITIONS: Final = 2
START_S: Final = 120.0
BOUND_S: Final = 120.0
pytestmark = pytest.mark.timeout(400, func_only=True)
RARELY_READ: Final = {
    "livecomments_log_contract_differences": "the first comparison comes a minute after the start",
}
"""Readings that a test does not wait for."""


@asynccontextmanager
async def processes(kafka: str, cql: str, keyspace: str, directory: Path) -> AsyncIterator[list[Worker]]:
    """A gateway, two edges, a stream job and what makes other topics of the log, ready."""
    topics = await own_epoch(kafka, PARTITIONS)
    shared = {"KAFKA": kafka, "CQL": cql, "CQL_KEYSPACE": keyspace, "CQL_DATACENTER": DATACENTER, "REPLICAS": "1"}
    shared |= {"TOPIC_PREFIX": topics.prefix, "GROUP": topics.prefix + "group", "SESSION_SECRET": "s" * 32}
    workers: list[Worker] = []
    try:
        for number, kind in enumerate(KINDS):
            ports = {"PORT": str(free_port()), "INTERNAL_PORT": str(free_port())}
            workers.append(process_of(kind, shared | ports, directory / f"{kind}-{number}"))
        for worker in workers:
            await until(worker.is_ready, "a process that is ready", START_S)
        yield workers
    finally:
        for worker in workers:
            worker.kill()
        await delete_topics(topics)


async def scraped(url: str) -> str:
    """A scrape; nothing while nobody answers."""
    try:
        async with aiohttp.ClientSession(url) as client, client.get("/metrics") as answer:
            return await answer.text()
    except aiohttp.ClientError:
        return ""


def shown(scrape: str) -> set[str]:
    """The metrics that a scrape has, by the names that the code gives them."""
    return set(re.findall(r"^# TYPE (\w+) ", scrape, re.MULTILINE))


async def test_a_comment_comes_through_every_partition_to_every_edge_and_all_that_is_named_is_shown(
    kafka_address: str, cql_address: str, cql_keyspace: str, tmp_path: Path
) -> None:
    async with processes(kafka_address, cql_address, cql_keyspace, tmp_path) as workers:
        gateway, *edges = workers[:3]
        watched = [word for edge in edges for word in ("--edge", edge.url)]
        command = [sys.executable, "-m", "livecomments_command", "probe", "--url", gateway.url, *watched]
        command += ["--session-file", str(tmp_path / "session"), "--timeout-s", str(BOUND_S)]
        once = await asyncio.create_subprocess_exec(*command, "--json", str(tmp_path / "report.json"))
        async with asyncio.timeout(BOUND_S):
            assert await once.wait() == 0
        report = json.loads((tmp_path / "report.json").read_text())
        assert (report["ok"], report["partitions"], report["turns"]) == (True, PARTITIONS, PARTITIONS)
        assert {edge: times["count"] for edge, times in report["screenMs"].items()} == {
            edge.url.removeprefix("http://"): PARTITIONS for edge in edges
        }
        port = free_port()
        follow = await asyncio.create_subprocess_exec(*command, "--follow", "--metrics", str(port), env=os.environ)
        try:
            urls = [*(worker.internal_url for worker in workers), f"http://{HOST}:{port}"]
            named = {metric.name for metric in declared_metrics(Tree(ROOT))} - RARELY_READ.keys()
            missing = set(named)

            async def all_is_shown() -> bool:
                scrapes = [await scraped(url) for url in urls]
                missing.intersection_update(named - shown("\n".join(scrapes)))
                return not missing and 'livecomments_probe_turns_total{result="done"} 0' not in scrapes[-1]

            with contextlib.suppress(TimeoutError):
                await until(all_is_shown, "scrapes with all of it", BOUND_S)
            assert missing == set()
        finally:
            follow.terminate()
            await follow.wait()
    queries = " ".join(
        query for board in BOARDS for row in board.rows.values() for panel in row for query in panel.queries.values()
    )
    drawn = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\blivecomments_\w+", queries)}
    ours = {name for name in metrics_selected() if name.startswith("livecomments_")}
    assert drawn | ours <= named | RARELY_READ.keys()
