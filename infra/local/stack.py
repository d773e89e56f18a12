"""`Stack`: servers, gateway, jobs, edges and the one address in front of them, all under one directory.

Every process is known by name, and can be killed and started again by it: `stack["edge-1"].kill()`.
"""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rich.console import Console

from infra.local.apps import JOBS, App
from infra.local.balancer import Balancer, HaProxy, Nginx, installed
from infra.local.lifecycle import Server
from infra.local.progress import Say, Work, together
from infra.local.servers import CassandraServer, KafkaServer
from livecomments_command.settings import KEYS, PROCESSES, AnySettings, ToolSettings

KAFKA: Final = "LIVECOMMENTS_KAFKA"
CQL: Final = "LIVECOMMENTS_CQL"
COUNTS: Final = "LIVECOMMENTS_COUNTS"
SECRET: Final = "LIVECOMMENTS_SESSION_SECRET"  # noqa: S105 - its name
GATEWAY: Final = "gateway"
STREAM: Final = "stream"
BROKER: Final = "kafka"
STORE: Final = "cassandra"
BALANCER: Final = "balancer"


class Stack:
    """The distributed form on this machine.

    Args:
        run_dir: where all of it lives, a folder each; whoever names the same one finds the same processes.
        environment: of every process of livecomments. `LIVECOMMENTS_KAFKA` and `LIVECOMMENTS_CQL` in it are used
            instead of a server started here; what else it sets holds for all.
        port: of the one address; a free one by default.
        edges: how many.
        kafka_port: a free one by default.
        cassandra_port: likewise.
        data: with the jobs that make topics of the log, and gateways that answer with the counts; None: if they were
            brought up last.
    """

    def __init__(
        self,
        run_dir: Path,
        environment: Mapping[str, str],
        *,
        port: int | None = None,
        edges: int = 2,
        kafka_port: int | None = None,
        cassandra_port: int | None = None,
        data: bool | None = None,
    ) -> None:
        self.run_dir = run_dir
        self._given = dict(environment)
        self.servers: dict[str, Server] = {}
        """Those started here, by name, in the order in which they need each other."""
        if not self._given.get(KAFKA):
            self.servers[BROKER] = KafkaServer(run_dir / BROKER, port=kafka_port)
        if not self._given.get(CQL):
            self.servers[STORE] = CassandraServer(run_dir / STORE, port=cassandra_port)
        self.gateway = App(GATEWAY, "gateway", run_dir / GATEWAY, self._environment)
        self.stream = App(STREAM, "stream", run_dir / STREAM, self._environment)
        self.edges = [App(f"edge-{n}", "edge", run_dir / f"edge-{n}", self._environment) for n in range(1, edges + 1)]
        self._all_jobs = [App(job, job, run_dir / job, self._environment) for job in JOBS]
        self.jobs = [job for job in self._all_jobs if (job.is_wanted if data is None else data)]
        self.servers |= {app.kind: app for app in self.apps}
        self.balancer = self._balancer(port)
        if self.balancer is not None:
            self.servers[BALANCER] = self.balancer

    @property
    def apps(self) -> list[App]:
        """The processes of livecomments."""
        return [self.gateway, self.stream, *self.edges, *self.jobs]

    def __getitem__(self, name: str) -> Server:
        """Return the process of that name. Raises KeyError."""
        return self.servers[name]

    @property
    def url(self) -> str:
        """The one address; the gateway's where there is no load balancer."""
        return f"http://{(self.balancer or self.gateway).address}"

    @property
    def settings(self) -> ToolSettings:
        """What the tools that prepare it take. Raises StartRefused: the environment holds something that cannot be."""
        return self.settings_of(ToolSettings)

    def settings_of(self, kind: type[AnySettings]) -> AnySettings:
        """Return the settings of its processes of this kind. Raises StartRefused."""
        ours = {name: value for name, value in self._environment().items() if name.startswith("LIVECOMMENTS_")}
        return kind.load(ours, elsewhere=KEYS)

    def bring_up(self, console: Console, *, detached: bool = True) -> list[str]:
        """Start what does not run, or runs with older code or other settings; return when all of it is ready.

        Args:
            console: shows the steps.
            detached: see `Server.start`.

        Returns:
            How topics that were there before differ from what they must be, a sentence each.

        Raises:
            ServerUnavailable, StartRefused, Unavailable: what went wrong first.
        """
        for kind in PROCESSES.values():
            self.settings_of(kind)  # a setting that cannot be is told before anything is started
        for job in self._all_jobs:
            if job not in self.jobs:
                job.take_down()
        notes: list[str] = []
        below = [
            self._work(BROKER, lambda: notes.extend(_prepare_topics(self.settings)), detached=detached),
            self._work(STORE, lambda: _prepare_schema(self.settings), detached=detached),
        ]
        together(below, console)
        together([self._work(app.kind, None, detached=detached) for app in self.apps], console)
        if self.balancer is not None:
            together([self._work(BALANCER, None, detached=detached)], console)
        return notes

    def take_down(self, say: Callable[[str], None]) -> None:
        """Stop all processes that run, and keep their data."""
        every = [*self.apps, *([self.balancer] if self.balancer else [])]
        # Also servers of before, when addresses are given now.
        below = [KafkaServer(self.run_dir / BROKER), CassandraServer(self.run_dir / STORE)]
        for servers in (every, below):
            running = [server for server in servers if server.is_running()]
            with ThreadPoolExecutor(max(1, len(running))) as threads:
                list(threads.map(lambda server: server.stop(), running))
            for server in running:
                say(f"{server.kind}: stopped; its data stays in {server.data_dir}")
        for job in self.jobs:
            job.take_down()

    def kill(self) -> None:
        """Send SIGKILL to all processes."""
        for server in reversed(self.servers.values()):
            server.kill()

    def _work(self, name: str, prepare: Callable[[], object] | None, *, detached: bool) -> Work:
        server = self.servers.get(name)

        def do(say: Say) -> str:
            ended = f"given as {self._given.get(KAFKA if name == BROKER else CQL)}"
            if server is not None:
                server.on_step = say
                server.start(detached=detached)
                server.wait_ready()
                ended = f"ready at {server.address}"
            if prepare is not None:
                say("preparing its topics" if name == BROKER else "preparing its tables")
                prepare()
            return ended

        return Work(server.kind if server else name, do)

    def _environment(self) -> dict[str, str]:
        ours = {KAFKA: self._given.get(KAFKA) or self[BROKER].address, CQL: self._given.get(CQL) or self[STORE].address}
        if not self._given.get(f"{SECRET}_FILE"):
            ours[SECRET] = self._given.get(SECRET) or self._made_secret()
        alone = {"LIVECOMMENTS_REPLICAS": "1"} if {BROKER, STORE} & self.servers.keys() else {}
        counted = {COUNTS: "true"} if self.jobs else {}
        return {**alone, **counted, **self._given, **ours}

    def _made_secret(self) -> str:
        """Return the session secret, kept across restarts: all gateways must sign alike."""
        from livecomments_command.assembly.writing import kept_secret

        self.run_dir.mkdir(parents=True, exist_ok=True)
        return kept_secret(self.run_dir).hex()

    def _balancer(self, port: int | None) -> Balancer | None:
        kind: type[HaProxy] | type[Nginx] | None = installed()
        if kind is None:
            return None
        return kind(
            self.run_dir / BALANCER,
            port=port,
            gateways=lambda: [self.gateway.ports],
            edges=lambda: [edge.ports for edge in self.edges],
        )


def _prepare_topics(settings: ToolSettings) -> list[str]:
    from livecomments_command.epochs import check_topics

    return asyncio.run(check_topics(settings, create=True)).differences


def _prepare_schema(settings: ToolSettings) -> None:
    from livecomments_command.assembly.cql import migrate_schema

    migrate_schema(settings)
