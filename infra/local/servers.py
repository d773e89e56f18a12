"""`KafkaServer`, `KafkaCluster` and `CassandraServer`: real servers on loopback, from Maven artifacts on the JDK.

A server is its data directory: an object made later with the same directory, in this process or another, finds the
running server by its pid file, and a restart keeps data and ports. The calls block; start and probe take seconds.
"""

import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from infra.local.errors import ServerUnavailable
from infra.local.jars import LIB_DIR, ROOM, RUN_DIR, java, why_unavailable
from infra.local.lifecycle import START_TIMEOUT_S, STOP_TIMEOUT_S, JavaServer, Server, running
from infra.local.ports import HOST, claim_ports
from infra.local.readiness import probe_cassandra, probe_kafka

__all__ = [
    "RUN_DIR",
    "CassandraServer",
    "KafkaCluster",
    "KafkaServer",
    "Server",
    "ServerUnavailable",
    "running",
    "why_unavailable",
]

_FORMAT_TIMEOUT_S: Final = 60.0
_CLUSTER_ID: Final = "bGl2ZWNvbW1lbnRzLWRldg"
"""Any 16 bytes in base64; these say livecomments-dev."""


class KafkaServer(JavaServer):
    """One broker that is its own controller (KRaft); alone, or one of a `KafkaCluster`.

    Args:
        data_dir: see `Server`.
        port: for clients; a free one by default.
        settings: broker settings to add or replace, for the life of this object.
        voters: node id → controller port of all brokers of the cluster, this one included; alone by default.
        node_id: which of them this one is.
        heap_mb: see `JavaServer`.
        lib_dir: see `JavaServer`.
    """

    jars = "kafka"
    _first = "record"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        voters: Mapping[int, int] | None = None,
        node_id: int = 1,
        heap_mb: int = 384,
        lib_dir: Path = LIB_DIR,
    ) -> None:
        super().__init__(data_dir, heap_mb=heap_mb, lib_dir=lib_dir)
        self.node_id = node_id
        self._port = port
        self._settings = dict(settings or {})
        self._voters = voters

    def _ports_wanted(self) -> dict[str, int | None]:
        return {"client": self._port, "controller": self._voters[self.node_id] if self._voters else None}

    def _arguments(self, jars: str) -> list[str]:
        file = self.data_dir / "server.properties"
        lines = [f"{key}={value}" for key, value in (self._own_settings() | self._settings).items()]
        file.write_text((ROOM / "kafka.properties").read_text() + "\n".join(lines) + "\n")
        common = [f"@{ROOM / 'kafka.jvm'}", "-cp", jars]
        if not (self.data_dir / "data" / "meta.properties").exists():
            self.on_step("formatting its storage")
            self._format([java(), "-Xmx128m", *common, "kafka.tools.StorageTool"], file)
        return [*common, "kafka.Kafka", str(file)]

    def _own_settings(self) -> dict[str, str]:
        voters = self._voters or {self.node_id: self.ports["controller"]}
        replicas, in_sync_min = str(len(voters)), str(len(voters) // 2 + 1)
        return {
            "node.id": str(self.node_id),
            "controller.quorum.voters": ",".join(f"{node}@{HOST}:{port}" for node, port in voters.items()),
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{HOST}:{self.ports['controller']}",
            "log.dirs": str(self.data_dir / "data"),
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync_min,
            "offsets.topic.replication.factor": replicas,
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync_min,
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync_min,
        }

    def _format(self, storage_tool: list[str], file: Path) -> None:
        # --ignore-formatted: a format that was interrupted leaves a directory that is only partly formatted.
        done = subprocess.run(  # noqa: S603 - our own arguments
            [*storage_tool, "format", "--ignore-formatted", "-t", _CLUSTER_ID, "-c", str(file)],
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            said = (done.stderr or done.stdout).partition("\n\tat ")[0].strip()
            raise ServerUnavailable(f"Kafka refuses its settings or {self.data_dir}, mend or remove it: {said}")

    def _probe(self) -> None:
        probe_kafka(self.address, node_id=self.node_id, replicas=len(self._voters or {self.node_id}))


class KafkaCluster:
    """Brokers that replicate to each other: as many replicas as brokers, a majority of them in sync to append.

    `brokers` are ordinary servers, to be killed and started again one by one.
    """

    def __init__(self, data_dir: Path, *, size: int = 3, heap_mb: int = 384, lib_dir: Path = LIB_DIR) -> None:
        nodes = range(1, size + 1)
        controllers = claim_ports(data_dir, {str(node): None for node in nodes})
        voters = {node: controllers[str(node)] for node in nodes}
        self.brokers = [
            KafkaServer(data_dir / str(node), voters=voters, node_id=node, heap_mb=heap_mb, lib_dir=lib_dir)
            for node in nodes
        ]

    @property
    def address(self) -> str:
        """All brokers, as 'host:port,host:port,…'."""
        return ",".join(broker.address for broker in self.brokers)

    def is_running(self) -> bool:
        """Tell whether all brokers run."""
        return all(broker.is_running() for broker in self.brokers)

    def start(self, *, detached: bool = False) -> None:
        """Start the brokers that do not run; see `Server.start`."""
        for broker in self.brokers:
            broker.start(detached=detached)

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until every broker is alive and a record was replicated, `timeout_s` in all; see `Server.wait_ready`."""
        deadline = time.monotonic() + timeout_s
        for broker in self.brokers:
            broker.wait_ready(max(0.0, deadline - time.monotonic()))

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop the brokers together: the last two alone would wait in vain for a majority; see `Server.stop`."""
        with ThreadPoolExecutor(len(self.brokers)) as threads:
            list(threads.map(lambda broker: broker.stop(timeout_s), self.brokers))

    def kill(self) -> None:
        """Kill all brokers; see `Server.kill`."""
        for broker in self.brokers:
            broker.kill()


class CassandraServer(JavaServer):
    """One Cassandra node, data centre `datacenter1`, for keyspaces with one replica.

    Args:
        data_dir: see `Server`.
        port: for CQL clients; a free one by default.
        heap_mb: see `JavaServer`.
        lib_dir: see `JavaServer`.
    """

    jars = "cassandra"
    _first = "query"

    def __init__(self, data_dir: Path, *, port: int | None = None, heap_mb: int = 384, lib_dir: Path = LIB_DIR) -> None:
        super().__init__(data_dir, heap_mb=heap_mb, lib_dir=lib_dir)
        self._port = port

    def _ports_wanted(self) -> dict[str, int | None]:
        return {"client": self._port, "storage": None}

    def _arguments(self, jars: str) -> list[str]:
        storage = self.ports["storage"]
        file = self.data_dir / "cassandra.yaml"
        file.write_text(
            (ROOM / "cassandra.yaml").read_text()
            + f"listen_address: {HOST}\nrpc_address: {HOST}\n"
            + f"storage_port: {storage}\nnative_transport_port: {self.ports['client']}\n"
            + "seed_provider:\n  - class_name: org.apache.cassandra.locator.SimpleSeedProvider\n"
            + f'    parameters:\n      - seeds: "{HOST}:{storage}"\n'
        )
        return [
            f"@{ROOM / 'cassandra.jvm'}",
            f"-Dcassandra.config={file.as_uri()}",
            f"-Dcassandra.storagedir={self.data_dir / 'data'}",
            f"-Dlogback.configurationFile={(ROOM / 'logback.xml').as_uri()}",
            "-cp",
            jars,
            "org.apache.cassandra.service.CassandraDaemon",
        ]

    def _probe(self) -> None:
        probe_cassandra(self.ports["client"])
