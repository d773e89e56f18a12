"""What the probe may meet: it is killed at any step, there are two of it, an edge is late, something else answers."""

import asyncio
import contextlib
import os
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest

from infra.local.ports import HOST
from livecomments_command.probing.asking import Person
from livecomments_command.probing.running import NothingToProbe, Probe
from livecomments_command.probing.turn import Turn, TurnStep
from livecomments_command.probing.videos import LOOKED_AT, looked_at
from livecomments_loadtest.client import origin_of
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, comment_id
from tests.command.probing.test_probe import BOUND_S, VIDEOS, deployment, probing, shown
from tests.gateway.test_answers import JWT, signed
from tests.live.stream import until
from tests.served import Served, served

__all__ = ["deployment"]
pytestmark = pytest.mark.timeout(300)


class Step(NamedTuple):
    """The request at which all stands still: the one of this number that begins so; `is_done`: it is answered first."""

    begins: bytes
    number: int = 1
    is_done: bool = False


STEPS = {
    "page": Step(b"GET /comments/", LOOKED_AT + 1),
    "session": Step(b"POST /sessions", is_done=True),
    "post": Step(b"POST /comments/"),
    "posted": Step(b"POST /comments/", is_done=True),
    "delete": Step(b"DELETE /comments/"),
    "deleted": Step(b"DELETE /comments/", is_done=True),
}


Link = Callable[[StreamReader, StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def listening(link: Link) -> AsyncIterator[str]:
    """A server that gives each connection to `link`; its address. What is open is cancelled when it is left."""
    links = set[asyncio.Task[None]]()

    def connected(reader: StreamReader, writer: StreamWriter) -> None:
        links.add(asyncio.create_task(link(reader, writer)))

    server = await asyncio.start_server(connected, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for each in links:
            each.cancel()
        await asyncio.gather(*links, return_exceptions=True)


class StandingStill:
    """A way to a deployment on which from some request on nothing passes any more, of any connection."""

    def __init__(self, step: Step) -> None:
        self.reached = asyncio.Event()
        self._step = step
        self._seen = 0

    @asynccontextmanager
    async def to(self, url: str) -> AsyncIterator[str]:
        """Listen; its address."""
        upstream = origin_of(url)

        async def link(reader: StreamReader, writer: StreamWriter) -> None:
            there, back = await asyncio.open_connection(upstream.host, upstream.port)
            with contextlib.closing(writer), contextlib.closing(back), contextlib.suppress(OSError, EOFError):
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._ask(reader, back))
                    both.create_task(self._answer(there, writer))

        async with listening(link) as address:
            yield address

    async def _ask(self, reader: StreamReader, back: StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = next((int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"content-length: ")), 0)
            body = await reader.readexactly(length)
            self._seen += head.startswith(self._step.begins) and b"/stream" not in head.split(b"\r\n")[0]
            is_it = self._seen == self._step.number and not self.reached.is_set()
            if is_it and self._step.is_done:
                self.reached.set()
                back.write(head + body)
            elif is_it or self.reached.is_set():
                self.reached.set()
                await asyncio.Event().wait()
            else:
                back.write(head + body)

    async def _answer(self, there: StreamReader, writer: StreamWriter) -> None:
        while piece := await there.read(65_536):
            if self.reached.is_set():
                await asyncio.Event().wait()
            writer.write(piece)
        writer.close()


@pytest.mark.parametrize("step", STEPS)
async def test_what_one_that_is_killed_at_any_step_leaves_the_next_one_deletes(
    deployment: Served, tmp_path: Path, step: str
) -> None:
    session = tmp_path / "session"
    way = StandingStill(STEPS[step])
    async with way.to(deployment.url) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "livecomments_command", "probe", "--url", url, "--session-file", str(session)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(BOUND_S):
                await way.reached.wait()
            if step == "posted":

                async def is_written() -> bool:
                    return bool(await shown(deployment))

                await until(is_written, "the comment whose answer does not come", BOUND_S)
        finally:
            process.kill()
            await process.wait()
    if step != "session":  # whose answer did not come, so that nobody could write as that guest
        async with probing(deployment, session=session) as probe:
            report = await probe.once(BOUND_S)
        assert (report.ok, report.to_json()["left"]) == (True, 0)
        assert report.to_json()["swept"] >= (step in ("posted", "delete"))
        if await shown(deployment):  # of the other partition, whose POST was under way: written after it was looked for
            async with probing(deployment, session=session) as probe:
                assert (await probe.once(BOUND_S)).ok
    assert await shown(deployment) == []


@asynccontextmanager
async def late_edge(url: str, opens: asyncio.Event) -> AsyncIterator[str]:
    """An edge all of whose streams show what comes after their beginning only when told to."""
    upstream = origin_of(url)

    async def link(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection(upstream.host, upstream.port)
        with contextlib.closing(writer), contextlib.closing(back), contextlib.suppress(OSError, EOFError):
            back.write(await reader.readuntil(b"\r\n\r\n"))
            writer.write(await there.readuntil(b"event: heartbeat\n"))
            writer.write(await there.readuntil(b"\n\n"))
            await opens.wait()
            while piece := await there.read(65_536):
                writer.write(piece)

    async with listening(link) as address:
        yield address


async def test_one_whose_comment_another_of_its_name_deletes_says_so(deployment: Served, tmp_path: Path) -> None:
    session, opens = tmp_path / "session", asyncio.Event()
    async with late_edge(deployment.url, opens) as late, probing(deployment, late, session=session) as first:
        taking = asyncio.create_task(first.once(BOUND_S))

        async def all_are_written() -> bool:
            return len(await shown(deployment)) == len(VIDEOS)

        await until(all_are_written, "its comments", BOUND_S)
        async with probing(deployment, session=session) as second:
            assert (await second.once(BOUND_S)).to_json()["swept"] == len(VIDEOS)
        opens.set()
        report = await taking
    assert {turn.step for turn in report.turns} == {TurnStep.HISTORY}
    assert all("--name" in turn.detail for turn in report.turns), report.turns
    assert await shown(deployment) == []


async def test_an_edge_that_is_late_is_told_apart_from_one_that_is_not(deployment: Served) -> None:
    opens = asyncio.Event()
    async with late_edge(deployment.url, opens) as late, probing(deployment, deployment.url, late) as probe:
        taking = asyncio.create_task(probe.once(BOUND_S))

        async def all_are_written() -> bool:
            return len(await shown(deployment)) == len(VIDEOS)

        await until(all_are_written, "its comments", BOUND_S)
        assert not taking.done()
        opens.set()
        report = await taking
    assert report.ok, report.turns
    on_time, slow = (report.screen_ms(edge) for edge in report.edges)
    assert on_time["p50"] < slow["p50"]


async def test_two_of_two_names_do_not_meet(deployment: Served) -> None:
    persons = [Person(origin_of(deployment.url)) for _ in range(2)]
    with contextlib.closing(persons[0]), contextlib.closing(persons[1]):
        probes = Probe(persons[0], (), "probe", BOUND_S), Probe(persons[1], (), "test", BOUND_S)
        reports = await asyncio.gather(*(probe.once(BOUND_S) for probe in probes))
    for report in reports:
        assert (report.ok, report.to_json()["swept"], report.to_json()["left"]) == (True, 0, 0)


async def test_a_token_that_cannot_be_read_fails_a_turn_and_not_the_probe(tmp_path: Path) -> None:
    file = tmp_path / "token"
    good = signed(sub="probe", roles=["own"])
    file.write_text(good)
    turns = asyncio.Queue[Turn]()
    async with served(tmp_path / "data", guests=False, **JWT) as deployment:
        async with probing(deployment, token=lambda: file.read_text("ascii")) as probe:
            following = asyncio.create_task(probe.follow(0.05, turns.put_nowait))
            async with asyncio.timeout(BOUND_S):
                assert (await turns.get()).is_ok
                file.unlink()
                while (turn := await turns.get()).is_ok:
                    pass
                assert "no token to speak with" in turn.detail
                file.write_text(good)
                while not (await turns.get()).is_ok:
                    pass
            following.cancel()
            await asyncio.wait([following])
        assert await shown(deployment) == []


HOME = "0000800000000000"


def page(stream_url: str = f"stream?after={HOME}") -> bytes:
    """A page without comments, as something else might answer it."""
    return orjson.dumps({"comments": [], "nextCursor": None, "streamUrl": stream_url})


@asynccontextmanager
async def liar(answer: Callable[[bytes], bytes]) -> AsyncIterator[str]:
    """Something that answers each request head, in JSON, with what it is told to."""

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(EOFError, OSError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                status = b"201 Created" if head.startswith(b"POST") else b"200 OK"
                body = answer(head)
                writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    server = await asyncio.start_server(serve, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"null",
        page("stream"),
        page("http://[::1/stream?after=" + HOME),
        page("stream?after=vvvvvvvvvvvvvvvv"),
    ],
)
async def test_what_is_no_deployment_is_told_in_a_sentence(body: bytes) -> None:
    async with liar(lambda _: body) as url:
        with contextlib.closing(Person(origin_of(url))) as person, pytest.raises(NothingToProbe, match=HOST):
            await Probe(person, (), "probe", 5.0).once(BOUND_S)


@pytest.mark.parametrize("given", ["x", "vvvvvvvvvvvvvvvv", None])
async def test_an_answer_of_no_comment_id_fails_a_turn_and_not_the_probe(given: str | None) -> None:
    homes = {video.encode(): comment_id(BEFORE_EVERYTHING, partition_of(video, 2)) for video in looked_at("probe")}

    def answer(head: bytes) -> bytes:
        if not head.startswith(b"GET"):
            return orjson.dumps({"sessionToken": "t", "commentId": given})
        if b"/stream" in head:
            return b'event: begin\ndata: {"position": "x"}\n\n'
        return page(f"stream?after={homes[head.split()[1].split(b'/')[2].split(b'?')[0]]}")

    async with liar(answer) as url:
        with contextlib.closing(Person(origin_of(url))) as person:
            report = await Probe(person, (), "probe", 5.0).once(BOUND_S)
    assert {turn.step for turn in report.turns} == {TurnStep.POST}
    assert all(turn.detail for turn in report.turns)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--url", "http://127.0.0.1:99999"], "99999"),
        (["--url", "http://[::1"], "--url"),
        (["--edge", "http://"], "--edge"),
        (["--url", "http://127.0.0.1:1", "--timeout-s", "1"], "127.0.0.1:1: no final answer in time: "),
    ],
)
async def test_a_wrong_address_is_a_sentence_and_the_exit_code_of_what_cannot_begin(
    arguments: list[str], says: str, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livecomments_command", "probe", *arguments),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    async with asyncio.timeout(BOUND_S):
        _, told = await process.communicate()
    assert process.returncode == 2
    assert told.decode().startswith("livecomments: ")
    assert says in told.decode()


@pytest.mark.parametrize("token", ["", "two words", "wr\u00f6ng", "a\r\nx: y"])
async def test_what_is_no_token_is_refused_before_anything_is_sent(token: str, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from livecomments_command.__main__ import app

    (tmp_path / "token").write_text(token)
    arguments = ["probe", "--token-file", str(tmp_path / "token")]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert str(tmp_path / "token") in str(done.exception)


@pytest.mark.timeout(60)
async def test_a_token_in_a_pipe_is_refused_since_it_could_be_read_once_only(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from livecomments_command.__main__ import app

    os.mkfifo(tmp_path / "token")
    arguments = ["probe", "--token-file", str(tmp_path / "token")]
    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert "pipe" in str(done.exception)
