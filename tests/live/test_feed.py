"""`livecomments export --follow` on a real Kafka: over kills and the end of an epoch; and overtaken by retention."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.console import Console

from livecomments_command.assembly.kafka import comments_log
from livecomments_command.grow import grow
from livecomments_command.records.export import Manifest
from livecomments_schemas.events import comment_deleted
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.command.records.chain import State, exported_state, manifests, merge
from tests.live.stream import Deployment, comments, deployment, until, videos_of
from tests.live.test_data_commands import command
from tests.live.test_growing import epochs_of, settings_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]
PARTITIONS = 2
VIDEOS = videos_of(PARTITIONS, 6)


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        yield made


@asynccontextmanager
async def following(deployed: Deployment, feed: Path) -> AsyncIterator[Process]:
    """The command, which is killed when it is left."""
    arguments = ("export", str(feed), "--follow", "--every-s", "1", "--step-mb", "1")
    started = [sys.executable, "-m", "livecomments_command", *arguments]
    process = await asyncio.create_subprocess_exec(*started, env=deployed.environ, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def has_reached(feed: Path, epoch: int, ends: dict[int, int]) -> bool:
    """Whether the newest step of a feed reaches to the ends of this epoch."""
    found = sorted((feed / "_manifest").glob("[0-9]*.json"))
    if not found:
        return False
    newest = json.loads(found[-1].read_bytes())
    through = {int(number): place["through"] for number, place in newest["partitions"].items()}
    return bool(newest["epoch"] == epoch) and through == {
        number: comment_id(position_at(epoch, end) - 1, number) for number, end in ends.items()
    }


async def exported(deployed: Deployment, directory: Path) -> State:
    """What full exports of all epochs hold."""
    state = State()
    for epoch in (await epochs_of(deployed)).known:
        where = directory / f"full-{epoch.number}"
        await asyncio.to_thread(command, deployed, "export", str(where), "--epoch", str(epoch.number))
        manifest = Manifest.load(where)
        assert manifest is not None
        state |= exported_state(manifest)
    return state


async def test_a_feed_that_is_killed_goes_on_and_over_the_growth_of_the_log_has_every_change_once(
    deployed: Deployment, tmp_path: Path
) -> None:
    feed, epoch = tmp_path / "feed", deployed.epoch
    await deployed.start().started()
    for turn in range(3):
        async with following(deployed, feed) as process:
            victim = comment_id(position_at(epoch, turn), partition_of(VIDEOS[0], PARTITIONS))
            await deployed.append([*comments(VIDEOS, 400, f"{turn}"), comment_deleted(VIDEOS[0], victim, "mod")])
            ends = await deployed.ends()
            await until(lambda: has_reached(feed, epoch, ends), "a step of the feed")  # noqa: B023 (awaited here)
            await deployed.append(comments(VIDEOS, 400, f"{turn} behind the step"))
            process.kill()
            assert await process.wait() == -signal.SIGKILL
    async with following(deployed, feed) as process:
        await grow(settings_of(deployed), 2 * PARTITIONS, Console(quiet=True), late_s=0.0)
        following_epoch = (await epochs_of(deployed)).known[-1]
        count = following_epoch.contract.partitions
        async with comments_log(settings_of(deployed), following_epoch.contract) as log:
            late = comment_id(position_at(epoch, 9), partition_of(VIDEOS[1], PARTITIONS))
            for record in (*comments(VIDEOS, 200, "grown"), comment_deleted(VIDEOS[1], late, "mod")):
                await log.append(partition_of(record.key.decode(), count), record)
            ends = {number: held.end for number, held in (await log.bounds(range(count))).items()}
        await until(lambda: has_reached(feed, following_epoch.number, ends), "a step of the next epoch")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0
    assert {one["epoch"] for one in manifests(feed)} == {epoch, following_epoch.number}
    state = merge(feed, {})
    assert len(state) > 2_000
    assert state == await exported(deployed, tmp_path)


async def test_a_feed_that_retention_overtakes_says_so_and_stays_whole(deployed: Deployment, tmp_path: Path) -> None:
    feed = tmp_path / "feed"
    await deployed.append(comments(VIDEOS, 300, "kept"))
    async with following(deployed, feed) as process:
        ends = await deployed.ends()
        await until(lambda: has_reached(feed, deployed.epoch, ends), "a step of the feed")
        whole = merge(feed, {})
        process.send_signal(signal.SIGSTOP)
        await deployed.append(comments(VIDEOS, 300, "lost"))
        await deployed.forget_before({number: end - 10 for number, end in (await deployed.ends()).items()})
        process.send_signal(signal.SIGCONT)
        _, told = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == 2, told
        assert b"let go of records before they were exported" in b" ".join(told.split())
    assert merge(feed, {}) == whole
    await asyncio.to_thread(command, deployed, "export", str(feed), "--changes", code=2)
    assert merge(feed, {}) == whole
