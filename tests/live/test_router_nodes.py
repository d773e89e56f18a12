"""Nodes that go and come behind the real router, under load: only their share moves, and nobody misses a word."""

import asyncio
import contextlib
import dataclasses
import itertools
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from shutil import which
from typing import Final

import aiohttp
import pytest

from infra.local.balancer import HaProxy
from infra.local.epochs import own_epoch
from infra.local.ports import free_port
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position
from tests.consumers.streams import Stream
from tests.helm.chart import Helm
from tests.helm.conftest import helm
from tests.helm.front import ChartFront
from tests.infra.test_partition_lua import ranked
from tests.live.stream import Worker, delete_topics, process_of, until, videos_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(900)]

__all__ = ["helm"]

PARTITIONS: Final = 12
VIDEOS: Final = videos_of(PARTITIONS, PARTITIONS)
"""One of each partition."""
_WAIT_S: Final = 180.0


class Node:
    """A process that can go and come back at its address."""

    def __init__(self, kind: str, own: Mapping[str, str], directory: Path) -> None:
        self.ports = {"client": free_port(), "internal": free_port()}
        ports = {"PORT": str(self.ports["client"]), "INTERNAL_PORT": str(self.ports["internal"])}
        self._own = {**own, **ports}
        self._kind, self._directory, self._starts = kind, directory, itertools.count()
        self.worker = self._start()

    def _start(self) -> Worker:
        return process_of(self._kind, self._own, self._directory / f"start-{next(self._starts)}")

    async def come_back(self) -> None:
        self.worker = self._start()
        await self.ready()

    async def ready(self) -> None:
        await until(self.worker.is_ready, f"{self._directory.name} ready", _WAIT_S)


class Viewer:
    """Watches a video through the router, and comes back with its last id whenever its stream ends."""

    def __init__(self, video_id: str, epoch: int) -> None:
        self.video_id = video_id
        self.has_left = False
        self.attempts = 0
        self.ids: list[str] = []
        self._last = comment_id(first_position(epoch) - 1, partition_of(video_id, PARTITIONS))

    async def run(self, client: aiohttp.ClientSession) -> None:
        while not self.has_left:
            self.attempts += 1
            with contextlib.suppress(aiohttp.ClientError, EOFError):
                async with client.get(f"/comments/{self.video_id}/stream", params={"after": self._last}) as answer:
                    await self._read(Stream(answer))
            await asyncio.sleep(0.1)

    async def _read(self, stream: Stream) -> None:
        while (event := await stream.next(b"comment", b"gap", b"bye")).kind != b"bye":
            assert event.kind == b"comment", "a gap"
            self._last = (event.id or b"").decode()
            self.ids.append(self._last)


class Posting:
    """Posts to all videos by turns, and again with the same key what was not answered 201."""

    def __init__(self, token: str) -> None:
        self.acked = defaultdict[str, list[str]](list)
        self.tries: list[int] = []
        """Of each POST, until its 201."""
        self._headers = {"Authorization": f"Bearer {token}"}

    async def run(self, client: aiohttp.ClientSession, number: int, step: int) -> None:
        for n in itertools.count(number, step):
            video_id, tries = VIDEOS[n % PARTITIONS], 1
            while (text := await self._post(client, video_id, n)) is None:
                tries += 1
                await asyncio.sleep(0.1)
            self.acked[video_id].append(text)
            self.tries.append(tries)

    async def _post(self, client: aiohttp.ClientSession, video_id: str, n: int) -> str | None:
        headers = {**self._headers, "Idempotency-Key": f"k{n}"}
        with contextlib.suppress(aiohttp.ClientError):
            async with client.post(f"/comments/{video_id}", json={"message": f"m{n}"}, headers=headers) as answer:
                if answer.status == 201:
                    return str((await answer.json())["commentId"])
                assert answer.status == 503, await answer.text()
        return None

    async def goes_on(self) -> None:
        enough = len(self.tries) + 3 * PARTITIONS
        await until(lambda: len(self.tries) >= enough, "POSTs", _WAIT_S)


@dataclasses.dataclass
class Deployed:
    """Two gateways and three edges behind a router."""

    gateways: list[Node]
    edges: list[Node]
    epoch: int
    url: str

    def at(self, edge: int, up: tuple[int, ...]) -> set[str]:
        """The videos whose home an edge is, of those that are up."""
        ids = [str(n) for n in up]
        return {video for video in VIDEOS if ranked(partition_of(video, PARTITIONS), ids)[0] == str(edge)}

    async def viewers(self, edge: int) -> int:
        """How many streams an edge serves."""
        return await _metric(self.edges[edge - 1], "livecomments_edge_viewers")

    async def is_routed(self, client: aiohttp.ClientSession) -> bool:
        """Whether the router has heard how many partitions there are: it begins with another number."""
        for video in VIDEOS:
            async with client.get(f"/comments/{video}") as answer:
                await answer.read()
        name = 'livecomments_routed_requests_total{to="home"}'
        return sum([await _metric(one, name) for one in self.gateways]) > 0


async def _metric(node: Node, name: str) -> int:
    async with aiohttp.ClientSession(node.worker.internal_url) as client, client.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    return int(sum(float(line.split()[-1]) for line in lines if line.startswith((f"{name} ", f"{name}{{"))))


@pytest.fixture(params=["recommended", "of the chart"])
async def deployed(
    request: pytest.FixtureRequest, kafka_address: str, cql_address: str, cql_keyspace: str, tmp_path: Path
) -> AsyncIterator[Deployed]:
    if which("haproxy") is None:
        pytest.skip("No haproxy found.")
    topics = await own_epoch(kafka_address, PARTITIONS)
    own = {"KAFKA": kafka_address, "CQL": cql_address, "CQL_KEYSPACE": cql_keyspace, "REPLICAS": "1"}
    own |= {"TOPIC_PREFIX": topics.prefix, "SESSION_SECRET": os.urandom(32).hex()}
    gateways = [Node("gateway", own, tmp_path / f"gateway-{n}") for n in (1, 2)]
    own = {name: value for name, value in own.items() if name != "SESSION_SECRET"}
    edges = [Node("edge", {**own, "DRAIN_S": "1"}, tmp_path / f"edge-{n}") for n in (1, 2, 3)]

    def ports(nodes: list[Node]) -> Callable[[], list[dict[str, int]]]:
        return lambda: [one.ports for one in nodes]

    to, place = (ports(gateways), ports(edges)), tmp_path / "router"
    if request.param == "recommended":
        router = HaProxy(place, port=None, gateways=to[0], edges=to[1])
    else:
        chart: Helm = request.getfixturevalue("helm")
        rendered = chart.render("front", front={"tlsSecret": "", "serversMax": 4})
        router = ChartFront(place, rendered, gateways=to[0], edges=to[1])
    try:
        await asyncio.gather(*(one.ready() for one in (*gateways, *edges)))
        await asyncio.to_thread(router.start)
        await asyncio.to_thread(router.wait_ready)
        yield Deployed(gateways, edges, topics.number, f"http://{router.address}")
    finally:
        router.kill()
        for one in (*gateways, *edges):
            one.worker.kill()
        await delete_topics(topics)


@contextlib.contextmanager
def who_moves(viewers: list[Viewer]) -> Iterator[set[str]]:
    """The videos of those viewers that come back within the context, filled in at its end."""
    before, moved = {one.video_id: one.attempts for one in viewers}, set[str]()
    yield moved
    moved.update(one.video_id for one in viewers if one.attempts > before[one.video_id])


async def test_nodes_go_and_come_and_only_their_share_moves_and_nobody_misses_a_word(deployed: Deployed) -> None:
    viewers = [Viewer(video, deployed.epoch) for video in VIDEOS]
    async with aiohttp.ClientSession(deployed.url) as client, asyncio.TaskGroup() as running:
        async with client.post("/sessions", json={"displayName": "Ana"}) as answer:
            posting = Posting((await answer.json())["sessionToken"])
        await until(lambda: deployed.is_routed(client), "the router's count", _WAIT_S)
        tasks = [running.create_task(one.run(client)) for one in viewers]
        tasks += [running.create_task(posting.run(client, number, 4)) for number in range(4)]

        async def all_see() -> None:
            await posting.goes_on()
            last = {video: max(ids) for video, ids in posting.acked.items()}
            await until(lambda: all(one.ids and one.ids[-1] >= last[one.video_id] for one in viewers), "all", _WAIT_S)

        await all_see()
        homes = [len(deployed.at(n, (1, 2, 3))) for n in (1, 2, 3)]

        async def are_home() -> bool:
            return [await deployed.viewers(n) for n in (1, 2, 3)] == homes

        async def are_counted() -> bool:
            return sum([await deployed.viewers(n) for n in (1, 2, 3)]) == PARTITIONS

        await until(are_home, f"viewers at their homes: {homes}", _WAIT_S)
        with who_moves(viewers) as moved:
            deployed.edges[1].worker.kill()
            await all_see()
        assert moved == deployed.at(2, (1, 2, 3))
        with who_moves(viewers) as moved:
            await deployed.edges[1].come_back()
            deployed.gateways[0].worker.kill()
            await all_see()
        assert not moved
        await until(are_counted, "viewers counted", _WAIT_S)
        held = await deployed.viewers(3)
        with who_moves(viewers) as moved:
            await deployed.gateways[0].come_back()
            await deployed.edges[2].worker.stop()
            await all_see()
        assert moved >= deployed.at(3, (1, 2, 3))
        assert len(moved) == held
        await deployed.gateways[1].worker.stop()
        await all_see()
        for task in tasks[PARTITIONS:]:
            task.cancel()
        await asyncio.wait(tasks[PARTITIONS:])
        acked = {video: set(ids) for video, ids in posting.acked.items()}
        await until(lambda: all(acked[one.video_id] <= set(one.ids) for one in viewers), "the rest", _WAIT_S)
        for one in viewers:
            one.has_left = True
        for task in tasks:
            task.cancel()
    for one in viewers:
        assert len(one.ids) == len(set(one.ids))
        assert one.ids == sorted(one.ids)
    assert max(posting.tries) <= 2, "a POST sees at most its own retry"
