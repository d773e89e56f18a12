"""Durable streams held by the public conformance suite: by the clients of others, over restarts."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from infra.local.ports import HOST, free_port
from tests.conformance.durable import DurableServer
from tests.conformance.programs import JS, running
from tests.live.stream import environment_of
from tests.npm import bring_packages
from tests.served import served

APPLICABLE: Final = {
    "Read Operations": 3,
    "Long-Poll Operations": 2,
    "Long-Poll Edge Cases": 5,
    "HEAD Metadata": 3,
    "Offset Validation and Resumability": 20,
    "Caching and ETag": 5,
    "Chunking and Large Payloads": 2,
    "Read-Your-Writes Consistency": 3,
    "SSE Mode": 31,
    "JSON Mode": 16,
    "Browser Security Headers": 9,
}
"""Groups that read, and how many tests each has. The others write, close, fork or expire streams: nobody can here."""
OF_WRITING: Final = {
    "should include X-Content-Type-Options: nosniff on PUT responses",
    "should include X-Content-Type-Options: nosniff on POST responses",
    "should include security headers on error responses",  # a stream that was not created: every video has one
}
"""Tests of these groups that ask what answers to writers say, which are the test's own."""
OF_JSON: Final = {
    "JSON Mode": 16,
    "SSE Mode": 5,
    "Offset Validation and Resumability": 1,
}
"""Tests that read a stream of JSON, by group."""
_OF_JSON: Final = (
    "JSON Mode .*"
    "|SSE Mode (JSON SSE|should (wrap JSON|handle JSON|accept live=sse query parameter for application/json"
    "|NOT include Stream-SSE-Data-Encoding header for application/json)).*"
    "|Offset Validation and Resumability should return empty JSON array.*"
)
RETRIES: Final = 5
"""The suite gives up an event stream after two seconds, which a busy machine may need."""
SUITE_TIMEOUT_S: Final = 300

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]


async def test_what_applies_of_the_public_suite_holds_and_what_does_not_is_said(tmp_path: Path) -> None:
    if reason := bring_packages(JS):
        pytest.skip(reason)
    data, cors = tmp_path / "data", "https://example.com"
    async with served(data, partitions=1, cors_origins=cors) as running, DurableServer.before(running) as url:
        groups = "|".join(map(re.escape, APPLICABLE))
        chosen = f"^({groups}) (should|JSON SSE|base64 SSE)"
        told = await asyncio.to_thread(suite, url, tmp_path / "told.json", chosen)
    passed = Counter(group for group, _, status in told if status == "passed")
    failed = {title for _, title, status in told if status == "failed"}
    print(dict(passed), failed)
    assert failed == OF_WRITING
    assert Counter(group for group, *_ in told) == APPLICABLE


async def test_what_reads_json_of_the_public_suite_holds_of_an_edges_own_answers(tmp_path: Path) -> None:
    """Who reads is sent on to the edge: status, headers, offsets, framing, and how messages are put together.

    Of each message the suite looks at what it wrote, which an edge gives as the text of a comment. What applies:

    - JSON Mode, all 16. Three of them ask what a writer is refused, which is the test's own answer.
    - Of SSE Mode the five that read JSON, of Offset Validation the one.

    What does not: the others of these groups, and Read, Long-Poll, HEAD, Caching, Chunking, Read-Your-Writes and
    Browser Headers, write text or bytes and want them back as that type, where an edge has JSON and nothing else. The
    test above holds them, by way of a translation. Writing, closing, forking, expiring and webhooks: nobody can here.
    """
    if reason := bring_packages(JS):
        pytest.skip(reason)
    data = tmp_path / "data"
    async with served(data, partitions=1) as running, DurableServer.before(running, only_writes=True) as url:
        told = await asyncio.to_thread(suite, url, tmp_path / "told.json", f"^({_OF_JSON})$", itself=True)
    assert {title for _, title, status in told if status == "failed"} == set()
    assert Counter(group for group, *_ in told) == OF_JSON


def suite(url: str, report: Path, chosen: str, *, itself: bool = False) -> list[tuple[str, str, str]]:
    """Run the tests whose group and title match; returns group, title and status of each."""
    program = str(JS / "node_modules" / ".bin" / "vitest")
    bounds = ("--sequence.concurrent", "--testTimeout=60000", f"--retry={RETRIES}")
    subprocess.run(
        (program, "run", *bounds, "--reporter=json", f"--outputFile={report}", "-t", chosen, "durable.test.mjs"),
        cwd=JS,
        env={**os.environ, "DURABLE_URL": url, **({"DURABLE_ITSELF": "1"} if itself else {})},
        capture_output=True,
        timeout=SUITE_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    (file,) = json.loads(report.read_text())["testResults"]
    tests = [(test["ancestorTitles"][0], test["title"], test["status"]) for test in file["assertionResults"]]
    return [(group, title, status) for group, title, status in tests if status in ("passed", "failed")]


FOLLOWERS: Final = {
    **{f"TypeScript, {live}": ("node", "follow.mjs", live) for live in ("long-poll", "sse", "true")},
    **{f"Python, {live}": (sys.executable, "follow_durable.py", live) for live in ("long-poll", "sse", "auto")},
}
COMMENTS: Final = 24
RESTARTED_AT: Final = (8, 16)
STARTED_WITHIN_S: Final = 300.0
"""A start is a second of CPU; everything here waits for other programs on a busy machine."""


async def test_clients_of_others_have_everything_once_in_order_over_restarts_in_each_mode(tmp_path: Path) -> None:
    """All at once, before one service that is killed twice."""
    if reason := bring_packages(JS):
        pytest.skip(reason)
    port = free_port()
    url = f"http://{HOST}:{port}"
    texts = [str(n) for n in range(COMMENTS)]
    async with AsyncExitStack() as until, aiohttp.ClientSession(url) as client:
        service = Embedded(port, tmp_path)
        until.callback(service.kill)
        token = await opened(client)
        followers = {}
        for name, (program, file, live) in FOLLOWERS.items():
            source = JS / file if file.endswith(".mjs") else Path(__file__).with_name(file)
            command = (program, str(source), f"{url}/streams/v", live)
            output = tmp_path / "followers.log"
            followers[name] = await until.enter_async_context(running(output, *command, stdout=subprocess.PIPE))
        reading = {name: asyncio.create_task(said(one)) for name, one in followers.items()}
        for n, text in enumerate(texts):
            if n in RESTARTED_AT:
                service.kill()
                service.start()
            await written(client, token, text)
        for name, lines in reading.items():
            assert await lines == texts, name


class Embedded:
    """`livecomments run` on a port and a directory, both the same after a restart."""

    def __init__(self, port: int, folder: Path) -> None:
        self._environment = environment_of({"PORT": str(port), "DATA_DIR": str(folder / "data")})
        self._output = folder / "service.log"
        self.start()

    def start(self) -> None:
        """Run it; it is not there yet."""
        command = (sys.executable, "-m", "livecomments_command", "run")
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(command, env=self._environment, stdout=output, stderr=output)

    def kill(self) -> None:
        """As a crash does: no drain, no goodbye."""
        self._process.kill()
        self._process.wait()


async def said(follower: asyncio.subprocess.Process) -> list[str]:
    """Return what it has told by the time that it told of the last comment."""
    assert follower.stdout is not None
    lines: list[str] = []
    async with asyncio.timeout(STARTED_WITHIN_S):
        while lines[-1:] != [str(COMMENTS - 1)]:
            line = (await follower.stdout.readline()).decode().strip()
            assert line, f"It has ended, having told {lines}"
            lines.append(line)
    return lines


async def opened(client: aiohttp.ClientSession) -> str:
    """Return a guest's token, once the service is there."""
    return str((await answered(client, "/sessions", {"displayName": "Ana"}, {}))["sessionToken"])


async def written(client: aiohttp.ClientSession, token: str, text: str) -> None:
    """Have this comment in the log once."""
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f"key-{text}"}
    await answered(client, "/comments/v", {"message": text}, headers)


async def answered(client: aiohttp.ClientSession, path: str, body: dict[str, str], headers: dict[str, str]) -> Any:
    """Return the answer of the service, which may be on its way."""
    async with asyncio.timeout(STARTED_WITHIN_S):
        while not (said := await asked(client, path, body, headers)):  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.1)
    return said


async def asked(client: aiohttp.ClientSession, path: str, body: dict[str, str], headers: dict[str, str]) -> Any:
    """Return the answer of the service; None where it is not there, or not yet for this."""
    with suppress(aiohttp.ClientError):
        async with client.post(path, json=body, headers=headers) as answer:
            return await answer.json() if answer.status == 201 else None
