"""All processes on servers that want certificates and passwords, while people write and watch."""

import asyncio
import itertools
import json
import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp

from infra.local.ports import free_port
from livecomments_command.settings import ToolSettings
from tests.live.secured import Certificates
from tests.live.stream import START_S, Worker, environment_of, process_of, until

GATEWAYS: Final = ("gateway-1", "gateway-2")
NAMES: Final = (*GATEWAYS, "edge", "stream")
MECHANISMS: Final = dict.fromkeys(NAMES, "SCRAM-SHA-512") | {GATEWAYS[1]: "PLAIN"}
OLD: Final = "o" * 40
NEW: Final = "n" * 40
VIDEO: Final = "rotated"
CANARY: Final = "canary7f3e"
"""In every text and name that people send."""
ADDRESS: Final = "127.0.0.77"
"""Where people are."""
_POSTERS: Final = 4


class Secrets:
    """The files of secrets of all processes, each gateway's own, as they are in pods."""

    def __init__(self, directory: Path, **passwords: str) -> None:
        self._directory = directory
        for name, password in passwords.items():
            self.set(name, password)
        for gateway in GATEWAYS:
            self.sign(gateway, [OLD])

    def file(self, name: str) -> str:
        """Its path."""
        return str(self._directory / f"{name}-secret")

    def set(self, name: str, text: str) -> None:
        """Replace one at once."""
        new = self._directory / "new"
        new.write_text(text + "\n")
        new.replace(self.file(name))

    def sign(self, gateway: str, lines: Sequence[str]) -> None:
        """Replace the session secrets of a gateway."""
        self.set(gateway, "\n".join(lines))


class Load:
    """People who write under one video, each comment until it is written, through one gateway after the other."""

    def __init__(self, client: aiohttp.ClientSession, urls: Sequence[str]) -> None:
        self.statuses = Counter[int]()
        self.acked: set[str] = set()
        self.seen: set[str] = set()
        self._client = client
        self._urls = itertools.cycle(urls)
        self._tokens: list[str] = []
        self._is_over = False
        self._waited_s = 0.0
        self._renewed = 0

    async def begin(self) -> None:
        """Open the sessions."""
        for number in range(_POSTERS):
            said = {"displayName": f"{CANARY} {number}"}
            async with self._client.post(f"{next(self._urls)}/sessions", json=said) as answer:
                self._tokens.append((await answer.json())["sessionToken"])

    async def renew(self) -> None:
        """Give each session a new token, as clients do now and then."""
        for number, token in enumerate(self._tokens):
            headers = {"Authorization": f"Bearer {token}"}
            async with self._client.post(f"{next(self._urls)}/sessions/current", json={}, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
                self._tokens[number] = (await answer.json())["sessionToken"]
                self._renewed += 1

    async def write(self, number: int) -> None:
        """Write until told to end."""
        for count in itertools.count():
            if self._is_over:
                return
            await self._see_through(number, f"{CANARY}-{number}-{count}")

    async def watch(self, edge: str) -> None:
        """Watch from an edge, for ever."""
        while True:
            async with self._client.get(f"{edge}/comments/{VIDEO}/stream?history=1") as stream:
                async for line in stream.content:
                    if line.startswith(b"data: {"):
                        self.seen.add(str(json.loads(line.removeprefix(b"data: ")).get("message")))

    async def written(self, more: int) -> None:
        """Wait until so many more are acknowledged."""
        enough = len(self.acked) + more
        await until(lambda: len(self.acked) >= enough, f"{more} comments more: {self.report()}")

    def end(self) -> None:
        """Let each end with the comment at hand."""
        self._is_over = True

    def secrets(self) -> list[str]:
        """List what people sent and were given that may stand in no log."""
        return [CANARY, ADDRESS, *self._tokens]

    def report(self) -> str:
        """What was seen, in a line."""
        return (
            f"{len(self.acked)} comments acknowledged, answers {dict(self.statuses)}, {self._renewed} tokens renewed, "
            f"the longest wait {self._waited_s:.1f} s, {len(self.acked - self.seen)} not yet seen by the viewer"
        )

    async def _see_through(self, number: int, message: str) -> None:
        began, key, is_written = time.monotonic(), secrets.token_hex(8), False
        while not is_written:
            headers = {"Authorization": f"Bearer {self._tokens[number]}", "Idempotency-Key": key}
            at = f"{next(self._urls)}/comments/{VIDEO}"
            async with self._client.post(at, json={"message": message}, headers=headers) as answer:
                self.statuses[answer.status] += 1
                is_written = answer.status == 201
            await asyncio.sleep(0.05)
        self.acked.add(message)
        self._waited_s = max(self._waited_s, time.monotonic() - began)


def connections(pid: int, port: int) -> set[str]:
    """The sockets of a process that are connected to that port, by their inodes."""
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    there = {f"socket:[{row[9]}]" for row in table if row[3] == "01" and int(row[2].partition(":")[2], 16) == port}
    held = set[str]()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            held.add(str(file.readlink()))
    return there & held


class RotatedStack:
    """The processes, and the load on them."""

    def __init__(self, processes: dict[str, Worker], client: aiohttp.ClientSession) -> None:
        self.processes = processes
        self.load = Load(client, [processes[name].url for name in GATEWAYS])
        self.logged = ""
        self._client = client
        self._steps = Counter[tuple[str, str]]()

    async def rotated(self, setting: str, names: Iterable[str] = NAMES) -> None:
        """Wait until these processes have taken what is new once more."""
        for name in names:
            self._steps[name, setting] += 1
            await until(lambda: self._has_taken(name, setting), f"{name} takes {setting}")  # noqa: B023 - awaited here

    async def connected_anew(self, port: int) -> None:
        """Wait until no connection to that port that those who came by SCRAM have now is open any more, but others."""
        for name in (name for name in NAMES if MECHANISMS[name] != "PLAIN"):
            pid = self.processes[name].process.pid
            before = connections(pid, port)

            def is_anew(pid: int = pid, before: set[str] = before) -> bool:
                now = connections(pid, port)
                return bool(now) and not now & before

            await until(is_anew, f"{name} connects anew")

    async def end(self) -> None:
        """End the load; wait until the viewer has seen all, and all is stored."""
        self.load.end()
        await until(lambda: self.load.acked <= self.load.seen, f"all seen: {self.load.report()}")
        await until(lambda: self._is_stored(), "all stored")
        assert await self._listed() >= self.load.acked

    async def _has_taken(self, name: str, setting: str) -> bool:
        wanted = self._steps[name, setting]
        found = await self._metric(name, f'livecomments_rotations_total{{result="taken",setting="{setting}"}}')
        assert not await self._metric(name, f'livecomments_rotation_refused{{setting="{setting}"}}')
        return found >= wanted

    async def _is_stored(self) -> bool:
        return await self._metric("stream", "livecomments_stream_lag_records") == 0

    async def _metric(self, name: str, metric: str) -> float:
        async with self._client.get(f"{self.processes[name].internal_url}/metrics") as answer:
            found = re.search(rf"^{re.escape(metric)} (.+)$", await answer.text(), re.MULTILINE)
        return float(found[1]) if found else -1.0 if metric.endswith("lag_records") else 0.0

    async def _listed(self) -> set[str]:
        listed: set[str] = set()
        cursor: str | None = ""
        while cursor is not None:
            at = f"{self.processes[GATEWAYS[0]].url}/comments/{VIDEO}?pageSize=100&sort=asc&cursor={cursor}"
            async with self._client.get(at) as answer:
                page: dict[str, Any] = await answer.json()
            listed |= {comment["message"] for comment in page["comments"]}
            cursor = page["nextCursor"]
        return listed


@asynccontextmanager
async def rotated_stack(
    at: ToolSettings, certificates: Certificates, files: Secrets, directory: Path
) -> AsyncIterator[RotatedStack]:
    """All processes, ready, with certificates and passwords from files, and the load under way."""
    own = {
        "KAFKA": at.kafka,
        "KAFKA_SECURITY": at.kafka_security,
        "KAFKA_MECHANISM": "PLAIN",
        "KAFKA_CA": str(certificates.ca),
        "KAFKA_CERTIFICATE": str(certificates.certificate),
        "KAFKA_KEY": str(certificates.key),
        "KAFKA_USER": at.kafka_user,
        "KAFKA_PASSWORD_FILE": files.file("kafka"),
        "CQL": at.cql,
        "CQL_TLS": "true",
        "CQL_CA": str(certificates.ca),
        "CQL_CERTIFICATE": str(certificates.certificate),
        "CQL_KEY": str(certificates.key),
        "CQL_USER": at.cql_user,
        "CQL_PASSWORD_FILE": files.file("cql"),
        "REPLICAS": "1",
        "LOG_LEVEL": "debug",
        "DATA_DIR": str(directory),
    }
    for command in ("topics", "migrate"):
        ran = [sys.executable, "-m", "livecomments_command", command]
        environ = environment_of(own)
        done = await asyncio.to_thread(subprocess.run, ran, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    processes = {}
    for name in NAMES:
        values = own | {
            "KAFKA_MECHANISM": MECHANISMS[name],
            "PORT": str(free_port()),
            "INTERNAL_PORT": str(free_port()),
        }
        if name in GATEWAYS:
            values["SESSION_SECRET_FILE"] = files.file(name)
        processes[name] = process_of(name.partition("-")[0], values, directory / name)
    try:
        people = aiohttp.TCPConnector(local_addr=(ADDRESS, 0))
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), connector=people) as client:
            stack = RotatedStack(processes, client)
            for process in processes.values():
                await until(process.is_ready, "ready", START_S)
            await stack.load.begin()
            async with asyncio.TaskGroup() as running:
                watching = running.create_task(stack.load.watch(processes["edge"].url))
                writing = [running.create_task(stack.load.write(number)) for number in range(_POSTERS)]
                await stack.load.written(50)
                yield stack
                stack.load.end()
                await asyncio.wait(writing)
                watching.cancel()
    finally:
        for process in processes.values():
            process.kill()
        stack.logged = "".join(process.logged for process in processes.values())
