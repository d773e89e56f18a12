"""Topic and store are lost, and a mirror is there: the commands of docs/OPERATING.md on a real Kafka and store."""

import asyncio
import io
import itertools
import json
import re
import secrets
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from rich.console import Console

from infra.local.ports import free_port
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing
from livecomments.log.topics import Topic
from livecomments.runtime.settings import PREFIX
from livecomments_command.records.copies import copied
from livecomments_command.records.mirrored import Mirrored
from livecomments_command.records.opened import opened
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_plan import ReplayPlan
from livecomments_command.records.replay_sinks import Lines, TopicSink
from livecomments_command.settings import ToolSettings, load
from livecomments_schemas.events import USER_BANNED, ForeignHeaders, comment_deleted, listed_headers, user_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.live.stream import Deployment, Worker, comments, delete_topic, deployment, process_of, until, videos_of
from tests.live.test_data_commands import command
from tests.live.test_data_topics import read_all
from tests.store.examples import drop_keyspace, new_keyspace, run_cql

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
QUIET = Console(quiet=True)
PARTITIONS = 2
VIDEOS = videos_of(PARTITIONS, 6)
OPERATING = Path(__file__).parents[2] / "docs" / "OPERATING.md"


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        yield made


@pytest.fixture
async def mirror(kafka_address: str) -> AsyncIterator[str]:
    """An ordinary topic of one partition."""
    name = f"mirror-{secrets.token_hex(6)}"
    topic = Topic(name, "", "", 1, 1, (), (), {"compression.type": "lz4"})
    await create_missing(KafkaConnection(kafka_address), [topic])
    yield name
    await delete_topic(kafka_address, name)


@pytest.fixture
async def gateways(deployed: Deployment, tmp_path: Path) -> AsyncIterator[Callable[[str], Worker]]:
    """Starts gateways that read a keyspace."""
    workers: list[Worker] = []

    def start(keyspace: str) -> Worker:
        own = {name: value for name, value in deployed.environ.items() if name.startswith(PREFIX)}
        values = {name.removeprefix(PREFIX): value for name, value in own.items()} | {"CQL_KEYSPACE": keyspace}
        values |= {"PORT": str(free_port()), "INTERNAL_PORT": str(free_port()), "SESSION_SECRET": "s" * 32}
        workers.append(process_of("gateway", values, tmp_path / f"gateway-{len(workers)}"))
        return workers[-1]

    yield start
    for worker in workers:
        worker.kill()


async def pages_of(worker: Worker) -> list[bytes]:
    """The comments of each video out of all its pages, in both orders; pages may be cut elsewhere in another epoch."""
    await until(worker.is_ready, "a gateway that is ready")
    pages = []
    async with aiohttp.ClientSession(worker.url) as client:
        for video, sort in itertools.product(VIDEOS, ("desc", "asc")):
            said = []
            cursor: dict[str, str] | None = {}
            while cursor is not None:
                query = {"pageSize": "50", "sort": sort, **cursor}
                async with client.get(f"/comments/{video}", params=query) as answer:
                    body = await answer.read()
                    assert answer.status == 200, body
                following = json.loads(body)["nextCursor"]
                if comments := body.removeprefix(b'{"comments":[').split(b'],"nextCursor":')[0]:
                    said.append(comments)
                cursor = None if following is None else {"cursor": following}
            pages.append(b",".join(said))
    return pages


def commands_of(heading: str) -> list[list[str]]:
    """The commands of a section of docs/OPERATING.md, a block each."""
    section = OPERATING.read_text().split(f"### {heading}\n")[1].split("\n### ")[0]
    return [block.strip().splitlines() for block in re.findall(r"```sh\n(.*?)```", section, re.DOTALL)]


async def mirrored(deployed: Deployment, topic: str, line: str) -> None:
    """Run what makes the mirror, kill it in the middle, and run it again until it has all."""
    wanted = sum((await deployed.ends()).values()) - 1  # but for what nobody can read
    async with KafkaLog(deployed.kafka, topic, 0, is_ours=False) as log:

        async def has(count: int) -> bool:
            return len({copied(one).record[:2] for one in await read_all(log, 0)}) >= count

        command = [sys.executable, "-m", "livecomments_command", *words(line, deployed, topic)]
        for count, last in ((1, False), (wanted, True)):
            process = await asyncio.create_subprocess_exec(*command, env=deployed.environ, cwd=deployed.directory)
            try:
                await until(partial(has, count), f"{count} copies")
                process.send_signal(signal.SIGTERM if last else signal.SIGKILL)
                assert await asyncio.wait_for(process.wait(), 60) == (0 if last else -signal.SIGKILL)
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()


def words(line: str, deployed: Deployment, topic: str) -> list[str]:
    """A command of the page, of this epoch and topic."""
    program, *given = shlex.split(line, comments=True)
    assert program == "livecomments"
    there = {"1": str(deployed.epoch), "mirror": topic}
    return [there.get(word, word) for word in given]


async def replayed_again(deployed: Deployment, topic: str) -> None:
    """A replay of the mirror has the lines of one of the log, and a mirror of the mirror is the same mirror."""
    again = f"{topic}-again"
    await create_missing(KafkaConnection(deployed.kafka), [Topic(again, "", "", 1, 1, (), (), {})])
    settings = load(ToolSettings, {name: at for name, at in deployed.environ.items() if name != f"{PREFIX}GROUP"})
    lines = []
    try:
        for mirror in (None, Mirrored(topic, QUIET)):
            async with (
                opened(settings, needs_store=False, mirror=mirror) as found,
                KafkaLog(deployed.kafka, again, 0, is_ours=False) as log,
            ):
                sink = io.BytesIO()
                await replay(found, QUIET, ReplayPlan(), Lines(sink, deployed.epoch))
                lines.append([line for line in sink.getvalue().splitlines() if b'"verdict":"invalid"' not in line])
                if mirror is not None:
                    await replay(found, QUIET, ReplayPlan(), TopicSink(log, again, found.topic))
        assert lines[0] == lines[1]
        assert any(b'"headerList":[["x","1"],' in line for line in lines[1])
        copies = []
        for name in (topic, again):
            async with KafkaLog(deployed.kafka, name, 0, is_ours=False) as log:
                records = await read_all(log, 0)
            copies.append({(one.key, one.value, tuple(listed_headers(one.headers))) for one in records})
        assert copies[0] == copies[1]
    finally:
        await delete_topic(deployed.kafka, again)


async def test_topic_and_store_are_lost_and_every_page_is_the_same_out_of_a_mirror(
    deployed: Deployment, gateways: Callable[[str], Worker], mirror: str
) -> None:
    await deployed.append([*comments(VIDEOS, 1_500, "a"), *comments(VIDEOS, 150, "a")])
    victim = comment_id(position_at(deployed.epoch, 3), partition_of(VIDEOS[0], PARTITIONS))
    await deployed.append([comment_deleted(VIDEOS[0], victim, "mod"), user_event(USER_BANNED, VIDEOS[0], "troll", "m")])
    (foreign,) = comments(VIDEOS, 1, "foreign")
    home = partition_of(VIDEOS[0], PARTITIONS)
    await deployed.append_foreign(home, foreign.key, b"{}", foreign.headers)
    twice = ForeignHeaders([("x", b"1"), *listed_headers(foreign.headers), ("x", None), ("x", b""), ("", b"\xff")])
    await deployed.log.append(home, foreign._replace(headers=twice))
    await deployed.append(comments(VIDEOS, 600, "b"))
    worker = await deployed.start().started()
    await deployed.complete()
    gateway = gateways(deployed.keyspace)
    before = await pages_of(gateway)
    before_lost = await deployed.stored()
    ((makes_it,), saves) = commands_of("A mirrored topic")
    await mirrored(deployed, mirror, makes_it)
    async with KafkaLog(deployed.kafka, mirror, 0, is_ours=False) as log:
        for topic, record in map(copied, await read_all(log, 0)):
            (original,) = (await deployed.log.read(record.partition, record.offset, record.offset + 1, 1)).records
            assert (topic, record) == (deployed.topic, original)
            assert listed_headers(record.headers) == listed_headers(original.headers)
    await replayed_again(deployed, mirror)
    refused = ("rebuild", "--epoch", str(deployed.epoch), "--from-mirror", mirror)
    await asyncio.to_thread(command, deployed, *refused, code=2)
    assert await worker.stop() == 0
    assert await gateway.stop() == 0
    await delete_topic(deployed.kafka, deployed.topic)
    keyspace = new_keyspace()
    try:
        said = ""
        for line in saves:
            given = words(line, deployed, mirror)
            said = await asyncio.to_thread(command, deployed, *given, cql_keyspace=keyspace)
        assert "no difference" in said
        assert await pages_of(gateways(keyspace)) == before
        assert await deployed.stored(keyspace) == before_lost
        where = f"video_id = '{VIDEOS[1]}' AND bucket = {deployed.epoch << 20}"
        lost = f"DELETE FROM {keyspace}.records_by_video WHERE {where}"
        await asyncio.to_thread(run_cql, deployed.cql, lost)
        found = await asyncio.to_thread(
            command, deployed, *words(saves[-1], deployed, mirror), code=1, cql_keyspace=keyspace
        )
        assert "not stored" in found
    finally:
        await asyncio.to_thread(drop_keyspace, deployed.cql, keyspace)
