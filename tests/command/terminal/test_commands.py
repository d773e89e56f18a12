"""The commands as processes: what they show, what they write, and how they end."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.command.terminal.relay import Relay
from tests.served import Served, served

BOUND_S = 90.0
"""Pauses between attempts grow, on a machine that may be busy."""
VIDEO = "launch"
pytestmark = pytest.mark.timeout(300)
JSON_OF_ANOTHER = (
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\r\n{"streamUrl": 1, "comments": "no"}'
)
HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"
LOGIN = b"HTTP/1.1 302 Found\r\nLocation: /comments/launch?sort=desc&pageSize=20\r\nContent-Length: 0\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>"


def program(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "livecomments_command", *arguments)


async def post(url: str, *arguments: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `livecomments post`."""
    process = await asyncio.create_subprocess_exec(
        *program("post", *arguments, "--url", url), stdout=PIPE, stderr=PIPE, env={**os.environ, **(env or {})}
    )
    async with asyncio.timeout(BOUND_S):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode().strip(), err.decode()


def _interruptible() -> None:
    """Take back that a shell lets what it starts in the background ignore Ctrl-C, which is inherited."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Tail:
    """A running `livecomments tail`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[str] = []

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(BOUND_S):
            line = (await self.process.stdout.readline()).decode().rstrip("\n")
        assert line, f"It has ended after {self.seen}"
        self.seen.append(line)
        return line

    async def said(self, words: str) -> None:
        """Wait until it says these words on standard error."""
        assert self.process.stderr is not None
        async with asyncio.timeout(BOUND_S):
            while words not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"It has ended without {words!r}"


@asynccontextmanager
async def tailing(url: str, *arguments: str) -> AsyncIterator[Tail]:
    process = await asyncio.create_subprocess_exec(
        *program("tail", VIDEO, "--url", url, *arguments), stdout=PIPE, stderr=PIPE, preexec_fn=_interruptible
    )
    try:
        yield Tail(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "data") as running:
        yield running


async def test_one_writes_and_the_other_sees_it_and_its_delete(deployment: Served) -> None:
    await deployment.post(VIDEO, "before", await deployment.token("Bo"))
    async with tailing(deployment.url, "--colour") as tail:
        assert "before" in await tail.line()
        code, comment_id, _ = await post(deployment.url, VIDEO, "[red]hello :smile:\x1b[2J", "--name", "Ana")
        assert code == 0
        line = await tail.line()
        assert "Ana" in line
        assert "[red]hello :smile:" in line
        assert "\x1b[2J" not in line
        token = await deployment.token("Cleo")
        _, answer = await deployment.post(VIDEO, "to go", token)
        await tail.line()
        url = f"/comments/{VIDEO}/{answer['commentId']}"
        async with deployment.client.delete(url, headers={"Authorization": f"Bearer {token}"}) as deleted:
            assert deleted.status == 204
        assert "\x1b[9;2m" in await tail.line()
    page = await deployment.page(VIDEO)
    assert comment_id in {comment["commentId"] for comment in page["comments"]}


async def test_it_resumes_exactly_behind_what_breaks(deployment: Served) -> None:
    token = await deployment.token()
    async with Relay(deployment.url) as relay, tailing(relay.url, "--json") as tail:
        expected = []
        for number in range(4):
            await deployment.post(VIDEO, f"comment {number}", token)
            expected.append(f"comment {number}")
            while not tail.seen or f"comment {number}" not in tail.seen[-1]:
                await tail.line()
            relay.cut()
            relay.answers += [HTML, BAD_GATEWAY][: number % 3]
        shown = [json.loads(line) for line in tail.seen]
    assert [event["message"] for event in shown if event["event"] == "comment"] == expected
    assert not [event for event in shown if event["event"] == "gap"]


async def test_a_comment_is_written_once_whatever_becomes_of_the_answers(deployment: Served) -> None:
    async with Relay(deployment.url) as relay:
        relay.lost_answers = 2
        relay.answers += [HTML, BAD_GATEWAY]
        code, comment_id, said = await post(
            relay.url, VIDEO, "once", "--token-env", "TOKEN", env={"TOKEN": await deployment.token()}
        )
    assert code == 0, said
    page = await deployment.page(VIDEO)
    assert [(comment["commentId"], comment["message"]) for comment in page["comments"]] == [(comment_id, "once")]


async def test_exit_codes_say_what_became_of_it(deployment: Served) -> None:
    code, out, said = await post(deployment.url, VIDEO, " ")
    assert (code, out) == (1, ""), said
    code, _, said = await post(deployment.url, VIDEO, "x", "--token-env", "NOBODY_SET_THIS")
    assert code == 2
    assert "NOBODY_SET_THIS" in said
    code, _, said = await post(deployment.url, VIDEO, "x", "--token-env", "TOKEN", env={"TOKEN": "no token"})
    assert code == 1
    assert "no token" not in said
    code, _, _ = await post("ftp://elsewhere", VIDEO, "x")
    assert code == 2
    async with Relay("http://127.0.0.1:9") as nobody:
        code, _, said = await post(nobody.url, VIDEO, "x", "--timeout-s", "0")
    assert code == 75
    assert "another guest" in said


@pytest.mark.parametrize("asked", [("no such id!",), (VIDEO, "--after", "nowhere")])
async def test_what_is_refused_ends_the_tail(deployment: Served, asked: tuple[str, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *program("tail", *asked, "--url", deployment.url), stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(BOUND_S):
        _, err = await process.communicate()
    assert process.returncode == 1, err


async def test_it_ends_in_silence_when_interrupted(deployment: Served) -> None:
    await deployment.post(VIDEO, "before", await deployment.token())
    async with tailing(deployment.url) as tail:
        await tail.line()
        tail.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(BOUND_S):
            _, err = await tail.process.communicate()
        assert (tail.process.returncode, err) == (130, b"")


async def test_what_a_server_answers_is_text_and_nothing_that_a_terminal_obeys(deployment: Served) -> None:
    async with Relay(deployment.url) as relay:
        relay.answers += [answer(503, {"code": "overloaded", "detail": "\x1b[2J[red]4:100:\x9b"})]
        async with tailing(relay.url) as tail:
            await tail.said("away: \\x1b[2J[red]4:100:\\x9b (overloaded)")
        relay.answers += [answer(201, {"sessionToken": "t"}), answer(201, {"commentId": "\x1b[2Jid"})]
        assert (await post(relay.url, VIDEO, "x"))[1] == "\ufffd[2Jid"


def answer(status: int, body: dict[str, str]) -> bytes:
    """The bytes of an answer with this JSON."""
    text = json.dumps(body).encode()
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        status,
        len(text),
        text,
    )


async def test_what_is_no_livecomments_is_said(deployment: Served) -> None:
    async with Relay(deployment.url) as relay:
        relay.answers += [HTML, JSON_OF_ANOTHER, HTML]
        async with tailing(relay.url) as tail:
            await tail.said("is that a livecomments?")
            await tail.said("back")
        relay.answers += [LOGIN]
        async with tailing(relay.url) as tail:
            await tail.said("answered 302")  # and not followed: it would be given the token
            await tail.said("back")
