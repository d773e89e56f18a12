"""Two edges on a real Kafka, HAProxy and nginx in front of both as they are recommended, and no gateway.

Comments are appended to the log itself. Where gateways would be, a test may serve pages. There is no store either: what
is watched here is in the tail.
"""

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Final

import aiohttp

from infra.local.apps import App
from infra.local.balancer import Balancer, HaProxy, Nginx
from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.ports import HOST, claim_ports
from livecomments.kafka.log import KafkaLog
from livecomments.runtime.settings import PREFIX
from tests.live.stream import delete_topics

PARTITIONS: Final = 2
_LANE: Final = re.compile(r'^livecomments_edge_lanes_total\{lane="(\w+)"\} (\S+)$', re.MULTILINE)


class Deployment:
    """Processes under `directory`, on the topic of an epoch of its own."""

    def __init__(self, directory: Path, topics: OwnEpoch) -> None:
        self.kafka = topics.kafka
        self.epoch = topics.number
        self._topics = topics
        self._ports = claim_ports(directory / "own", {"page": None, "store": None})
        self.page_port = self._ports["page"]
        """Where both load balancers think that a gateway is."""
        self.edges = [App(f"edge-{n}", "edge", directory / f"edge-{n}", self._environment) for n in (1, 2)]
        self.balancers: dict[str, Balancer] = {
            kind.program: kind(
                directory / kind.program,
                port=None,
                gateways=lambda: [{"client": self.page_port, "internal": self.page_port}],
                edges=lambda: [edge.ports for edge in self.edges],
            )
            for kind in (HaProxy, Nginx)
            if which(kind.program)
        }

    @property
    def page_origin(self) -> str:
        """Of pages that are served elsewhere than the streams they watch; edges allow it."""
        return f"http://{HOST}:{self.page_port}"

    def log(self) -> KafkaLog:
        """To append to."""
        return KafkaLog(self.kafka, self._topics.topic, self.epoch, in_sync_replicas_min=1)

    def start(self) -> None:
        """Start what does not run, and return when it is ready."""
        for server in (*self.edges, *self.balancers.values()):
            server.start()
        for edge in self.edges:
            edge.wait_ready()

    def kill(self) -> None:
        """SIGKILL to all of it."""
        for server in (*self.balancers.values(), *self.edges):
            server.kill()

    async def lanes(self) -> dict[str, int]:
        """Streams opened on the edges that run, by lane."""
        counts = {"transport": 0, "asgi": 0}
        async with aiohttp.ClientSession() as client:
            for edge in self.edges:
                async with client.get(f"http://{edge.internal_address}/metrics") as answer:
                    for lane, count in _LANE.findall(await answer.text()):
                        counts[lane] += int(float(count))
        return counts

    def _environment(self) -> dict[str, str]:
        own = {
            "KAFKA": self.kafka,
            "CQL": f"{HOST}:{self._ports['store']}",
            "TOPIC_PREFIX": self._topics.prefix,
            "REPLICAS": "1",
            "CORS_ORIGINS": self.page_origin,
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        return others | {PREFIX + name: value for name, value in own.items()}


@contextmanager
def deployed(directory: Path, kafka: str) -> Iterator[Deployment]:
    """Running and ready; killed when it is left."""
    topics = asyncio.run(own_epoch(kafka, PARTITIONS))
    deployment = Deployment(directory, topics)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.kill()
        asyncio.run(delete_topics(topics))
