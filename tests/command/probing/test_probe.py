"""The probe on a deployment: what it finds, what it leaves, and as whom it may speak."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from infra.local.ports import HOST, free_port
from livecomments_command.probing.asking import Person
from livecomments_command.probing.running import Probe
from livecomments_command.probing.turn import Turn, TurnStep
from livecomments_command.probing.videos import video_ids
from livecomments_loadtest.client import origin_of
from tests.gateway.test_answers import JWT, signed
from tests.live.stream import until
from tests.served import Served, served

BOUND_S = 90.0
VIDEOS = video_ids("probe", 2)
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def deployment(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path / "data") as running:
        yield running


@asynccontextmanager
async def probing(
    deployment: Served, *edges: str, token: Callable[[], str] | None = None, session: Path | None = None
) -> AsyncIterator[Probe]:
    person = Person(origin_of(deployment.url), token, session)
    with contextlib.closing(person):
        yield Probe(person, edges, "probe", BOUND_S)


async def shown(deployment: Served) -> list[dict[str, Any]]:
    """What anybody sees in the probe's videos."""
    return [comment for video in VIDEOS for comment in (await deployment.page(video))["comments"]]


async def test_every_partition_has_its_turn_and_nothing_is_left(deployment: Served) -> None:
    async with probing(deployment, deployment.url, "http://127.0.0.1:" + deployment.url.rpartition(":")[2]) as probe:
        report = await probe.once(BOUND_S)
    assert [(turn.partition, turn.video_id, turn.step) for turn in report.turns] == [
        (partition, video, TurnStep.DONE) for partition, video in enumerate(VIDEOS)
    ]
    assert report.ok
    assert len(report.edges) == 1
    told = report.to_json()
    assert (told["partitions"], told["failed"], told["postMs"]["count"]) == (2, [], 2)
    assert told["screenMs"][report.edges[0]]["count"] == 2
    assert await shown(deployment) == []


async def test_what_a_killed_one_left_is_deleted_and_what_is_somebody_elses_is_told(
    deployment: Served, tmp_path: Path
) -> None:
    session = tmp_path / "session"
    session.write_text(await deployment.token("Probe"))
    await deployment.post(VIDEOS[1], "left by a killed probe", session.read_text())
    async with probing(deployment, session=session) as probe:
        report = await probe.once(BOUND_S)
        assert (report.ok, report.to_json()["swept"], report.to_json()["left"]) == (True, 1, 0)
        await deployment.post(VIDEOS[0], "whose?", await deployment.token("Bo"))
        report = await probe.once(BOUND_S)
    assert (report.ok, report.to_json()["swept"], report.to_json()["left"]) == (True, 0, 1)
    assert [comment["message"] for comment in await shown(deployment)] == ["whose?"]


async def test_a_session_that_is_no_good_any_more_is_replaced_and_the_new_one_kept_from_others(
    deployment: Served, tmp_path: Path
) -> None:
    session = tmp_path / "session"
    session.write_text("of another deployment")
    async with probing(deployment, session=session) as probe:
        assert (await probe.once(BOUND_S)).ok
    assert session.read_text().startswith("lcs_")
    assert session.stat().st_mode & 0o077 == 0


async def test_it_waits_as_limits_say(tmp_path: Path) -> None:
    async with served(tmp_path, user_comments_max=1, user_period_s=1.0, duplicate_text_s=60.0) as deployment:
        session = tmp_path / "session"
        for _ in range(2):
            async with probing(deployment, session=session) as probe:
                report = await probe.once(BOUND_S)
            assert report.ok


async def test_with_a_token_it_sets_the_videos_that_must_be_set(tmp_path: Path) -> None:
    async with served(tmp_path, guests=False, unknown_videos="registered", **JWT) as deployment:
        async with probing(deployment, token=lambda: signed(sub="probe", roles=["own"])) as probe:
            assert (await probe.once(BOUND_S)).ok
        async with probing(deployment) as probe:
            report = await probe.once(BOUND_S)
    assert {turn.step for turn in report.turns} == {TurnStep.POST}
    assert all("403" in turn.detail for turn in report.turns), report.turns


async def test_an_edge_that_does_not_answer_is_named_and_nothing_is_written(deployment: Served) -> None:
    nobody = f"http://{HOST}:{free_port()}"
    person = Person(origin_of(deployment.url))
    with contextlib.closing(person):
        report = await Probe(person, [deployment.url, nobody], "probe", 3.0).once(BOUND_S)
    assert not report.ok
    assert {turn.step for turn in report.turns} == {TurnStep.STREAM}
    assert all(nobody.removeprefix("http://") in turn.detail for turn in report.turns)
    assert all(turn.home is None for turn in report.turns)


@asynccontextmanager
async def frozen_edge() -> AsyncIterator[str]:
    """An edge whose streams begin, and then show nothing."""

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: heartbeat\ndata: {}\n\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stream, HOST, 0)
    try:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def test_a_comment_that_an_edge_does_not_show_is_told_and_deleted_all_the_same(deployment: Served) -> None:
    async with frozen_edge() as frozen:
        person = Person(origin_of(deployment.url))
        with contextlib.closing(person):
            report = await Probe(person, [deployment.url, frozen], "probe", 6.0).once(BOUND_S)
    assert {turn.step for turn in report.turns} == {TurnStep.SCREEN}
    assert all(turn.detail == f"{frozen.removeprefix('http://')}: the event did not come" for turn in report.turns)
    assert await shown(deployment) == []


async def test_one_that_follows_goes_round_and_deletes_what_is_under_way_when_it_is_stopped(
    deployment: Served,
) -> None:
    turns: list[Turn] = []
    round_it_went = asyncio.Event()

    def told(turn: Turn) -> None:
        turns.append(turn)
        if len(turns) == 3:
            round_it_went.set()

    async with probing(deployment) as probe:
        following = asyncio.create_task(probe.follow(0.05, told))
        async with asyncio.timeout(BOUND_S):
            await round_it_went.wait()
        following.cancel()
        await asyncio.wait([following])
    assert [turn.partition for turn in turns[:3]] == [0, 1, 0]
    assert all(turn.is_ok for turn in turns), turns
    assert await shown(deployment) == []


async def test_the_command_follows_with_metrics_and_ends_when_it_is_told_to(deployment: Served, tmp_path: Path) -> None:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livecomments_command", "probe", "--url", deployment.url),
        *("--follow", "--every-s", "0.05", "--metrics", str(port)),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    try:
        async with asyncio.timeout(BOUND_S), aiohttp.ClientSession() as client:
            await until(lambda: has_gone_round(client, port), "two turns that went well", BOUND_S)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(BOUND_S):
            said, logged = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert (process.returncode, said) == (0, b""), logged
    assert await shown(deployment) == []


async def has_gone_round(client: aiohttp.ClientSession, port: int) -> bool:
    """Whether two turns went well, by its metrics."""
    try:
        async with client.get(f"http://{HOST}:{port}/metrics") as answer:
            lines = (await answer.text()).splitlines()
    except aiohttp.ClientError:
        return False
    done = 'livecomments_probe_turns_total{result="done"} '
    return any(float(line.removeprefix(done)) >= 2 for line in lines if line.startswith(done))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--metrics", "9090"], "--follow"),
        (["--name", "two words"], "--name"),
        (["--edge", "edge:8080"], "--edge"),
        (["--token-env", "NOT_THERE"], "NOT_THERE"),
        (["--token-file", "/not/there"], "/not/there"),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence(arguments: list[str], says: str) -> None:
    from typer.testing import CliRunner

    from livecomments_command.__main__ import app

    done = await asyncio.to_thread(CliRunner().invoke, app, ["probe", *arguments])
    assert says in str(done.exception)
