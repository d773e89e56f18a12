"""`livecomments run` as a process: what survives kill -9, and how it refuses to start."""

import asyncio
import itertools
import json
import os
import signal
import socket
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from livecomments_command.settings import RunSettings
from tests.live.stream import sentences

BOUND_S = 30.0
WRITERS = 8
ROUNDS = 3
ACKED_A_ROUND = 150


def command(*options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "livecomments_command", "run", "--host", "127.0.0.1", *options)


@asynccontextmanager
async def running(data_dir: Path) -> AsyncIterator[tuple[Process, aiohttp.ClientSession]]:
    """The service on a free port, which it prints; killed with -9 when left."""
    process = await asyncio.create_subprocess_exec(
        *command("--port", "0", "--data-dir", str(data_dir)), stdout=PIPE, stderr=PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            line = (await process.stdout.readline()).decode()
            url = line.split("running: ")[1].split()[0]
            async with aiohttp.ClientSession(url) as client:
                async for is_ready in readiness(client):
                    if is_ready:
                        break
                yield process, client
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def readiness(client: aiohttp.ClientSession) -> AsyncIterator[bool]:
    """What the service says of its readiness, over and over."""
    while True:
        async with client.get("/healthz/ready") as answer:
            yield answer.status == 200


async def refusal(*options: str) -> tuple[int, str]:
    """Exit code, and stderr without the log, of a run that must not start."""
    process = await asyncio.create_subprocess_exec(*command(*options), stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(BOUND_S):
        _, stderr = await process.communicate()
    assert process.returncode is not None
    assert all(line.startswith(b"{") for line in stderr.splitlines()), stderr
    return process.returncode, sentences(stderr.decode()) + "\n"


async def all_comments(client: aiohttp.ClientSession, video_id: str) -> list[dict[str, Any]]:
    comments: list[dict[str, Any]] = []
    query: dict[str, Any] = {"sort": "asc", "pageSize": 100}
    while True:
        async with client.get(f"/comments/{video_id}", params=query) as answer:
            page = await answer.json()
        comments += page["comments"]
        if page["nextCursor"] is None:
            return comments
        query["cursor"] = page["nextCursor"]


class Writing:
    """What writers sent and what was acknowledged, over all rounds."""

    def __init__(self) -> None:
        self.acked: dict[str, str] = {}
        self.sent: set[str] = set()
        self.unsure: list[str] = []
        """Sent, and cut off before an answer: to be sent again, with the same key."""
        self.token = ""

    async def sign_in(self, client: aiohttp.ClientSession) -> None:
        async with client.post("/sessions", json={"displayName": "Ana"}) as answer:
            self.token = (await answer.json())["sessionToken"]

    async def write(self, who: str, process: Process, client: aiohttp.ClientSession, enough: int) -> None:
        """Write until the process is dead, what was cut off first; whoever sees enough acknowledged kills it."""
        again, self.unsure = deque(self.unsure), []
        for number in itertools.count():
            message = again.popleft() if again else f"{who} number {number}"
            try:
                await self.post(client, message)
            except aiohttp.ClientError:
                self.unsure += [message, *again]
                return
            if len(self.acked) >= enough and process.returncode is None:
                process.kill()

    async def post(self, client: aiohttp.ClientSession, message: str) -> None:
        """Write one comment, the same one however often. Raises ClientError: no answer."""
        self.sent.add(message)
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": message.replace(" ", "-")}
        async with client.post("/comments/v", json={"message": message}, headers=headers) as answer:
            assert answer.status == 201
            self.acked[(await answer.json())["commentId"]] = message


async def test_after_kill_9_under_load_whatever_was_sent_and_sent_again_is_there_once(tmp_path: Path) -> None:
    writing = Writing()
    for round_number in range(ROUNDS):
        async with running(tmp_path) as (process, client):
            if not writing.token:
                await writing.sign_in(client)
            enough = ACKED_A_ROUND * (round_number + 1)
            names = [f"round {round_number} writer {writer}" for writer in range(WRITERS)]
            await asyncio.gather(*(writing.write(name, process, client, enough) for name in names))
    async with running(tmp_path) as (_, client):
        assert writing.unsure, "nothing was cut off"
        for message in writing.unsure:
            await writing.post(client, message)
        kept = {comment["commentId"]: comment["message"] for comment in await all_comments(client, "v")}
        assert kept == writing.acked
        assert sorted(kept.values()) == sorted(writing.sent)
        path = f"/comments/v/{next(iter(writing.acked))}"
        async with client.delete(path, headers={"Authorization": f"Bearer {writing.token}"}) as answer:
            assert answer.status == 204


async def test_sigterm_ends_it_in_order_with_exit_code_0(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, client), client.get("/comments/v/stream") as stream:
        await stream.content.readline()
        process.send_signal(signal.SIGTERM)
        assert b"event: bye" in await stream.content.read()
        async with asyncio.timeout(BOUND_S):
            assert await process.wait() == 0


async def test_a_file_that_another_process_writes_to_ends_it_with_a_sentence(tmp_path: Path) -> None:
    """Whoever writes, and whoever streams, is told at once; nobody is left waiting."""
    async with running(tmp_path) as (process, client), client.get("/comments/v/stream") as stream:
        writing = Writing()
        await writing.sign_in(client)
        headers = {"Authorization": f"Bearer {writing.token}"}
        connection = sqlite3.connect(tmp_path / "livecomments.db")
        connection.execute("CREATE TABLE theirs (x)")
        connection.close()
        async with asyncio.timeout(BOUND_S):
            async with client.post("/comments/v", json={"message": "hi"}, headers=headers) as answer:
                assert answer.status == 503
                assert (await answer.json())["code"] == "overloaded"
            with suppress(aiohttp.ClientError):
                await stream.content.read()
            assert process.stderr is not None
            said = (await process.stderr.read()).decode()
            assert await process.wait() == 2
    [sentence] = [line for line in sentences(said).splitlines() if line.startswith("livecomments: ")]
    assert "Another process has written to" in sentence


async def test_it_logs_at_its_start_every_value_and_no_secret_and_what_it_does_not_take(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    environ = {"LIVECOMMENTS_SESSION_SECRET": "s" * 40, "LIVECOMMENTS_GROUP": "g", "LIVECOMMENTS_VIEWERS_MAX": "7"}
    process = await asyncio.create_subprocess_exec(
        *command("--port", "0", "--data-dir", str(tmp_path / "file")), stderr=PIPE, env={**os.environ, **environ}
    )
    _, stderr = await process.communicate()
    lines = [json.loads(line) for line in stderr.splitlines() if line.startswith(b"{")]
    events = ["not taken: settings of other processes", "starting", "does not go on"]
    assert [line["event"] for line in lines] == events
    assert lines[0]["names"] == ["LIVECOMMENTS_GROUP"]
    expected = RunSettings(port=0, data_dir=tmp_path / "file", session_secret="s" * 40, viewers_max=7)
    assert lines[1]["settings"] == expected.shown()
    assert lines[1]["version"]
    assert lines[1]["open_files_max"] > 0
    assert b"s" * 40 not in stderr


async def test_an_occupied_port_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, sentence = await refusal("--port", port, "--data-dir", str(tmp_path))
    assert code == 2
    assert sentence.startswith(f"livecomments: Cannot listen on 127.0.0.1:{port}: ")
    assert sentence.count("\n") == 1


async def test_a_second_run_on_the_same_directory_is_refused_in_one_sentence(tmp_path: Path) -> None:
    async with running(tmp_path):
        code, sentence = await refusal("--port", "0", "--data-dir", str(tmp_path))
    assert code == 2
    assert "is in use by another livecomments" in sentence
    assert sentence.count("\n") == 1


async def test_a_directory_that_cannot_be_written_is_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, sentence = await refusal("--port", "0", "--data-dir", str(tmp_path / "file" / "data"))
    assert code == 2
    assert sentence.startswith(f"livecomments: Cannot write to {tmp_path}/file/data: ")
    assert sentence.count("\n") == 1


async def test_a_file_of_another_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    async with running(tmp_path):
        pass
    database = tmp_path / "livecomments.db"
    header = bytearray(database.read_bytes())
    header[60:64] = (99).to_bytes(4, "big")  # SQLite's user_version
    database.write_bytes(header)
    for beside in ("livecomments.db-wal", "livecomments.db-shm"):
        (tmp_path / beside).unlink(missing_ok=True)
    code, sentence = await refusal("--port", "0", "--data-dir", str(tmp_path))
    assert code == 2
    assert "version 99" in sentence
    assert sentence.count("\n") == 1
