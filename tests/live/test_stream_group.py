"""Several workers in one group: joining, leaving, killed and frozen under load. Nothing is lost, no watermark lies."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.live.stream import Deployment, Load, Watermarks, Worker, comments, deployment, until, videos_of

PARTITIONS = 6
RATE = 300
TAKEN_OVER_S = 40.0
"""The session of a killed worker, and a rebalance, on a busy machine."""

pytestmark = pytest.mark.timeout(300, func_only=True)


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path, PARTITIONS) as made:
        yield made


async def share(worker: Worker, *counts: int, within_s: float = TAKEN_OVER_S) -> None:
    """Wait until a worker has been given as many partitions as one of `counts`."""

    async def has() -> bool:
        return await worker.metric("partitions") in counts

    await until(has, f"{counts} partitions, of {PARTITIONS}", within_s)


async def test_a_killed_workers_partitions_are_taken_over_and_those_who_come_get_theirs(deployed: Deployment) -> None:
    async with Load(deployed, RATE) as load:
        one = await deployed.start().started()
        await share(one, 6)
        two = await deployed.start().started()
        await share(two, 3)
        await share(one, 3)
        await load.goes_on(RATE)
        two.kill()
        await share(one, 6)
        await load.goes_on(RATE)
        three, four = deployed.start(), deployed.start()
        await three.started()
        await four.started()
        await share(one, 2)
        three.kill()
        await share(one, 3)
        assert await one.stop() == 0, one.logged
        await share(four, 6)
        await load.goes_on(RATE)
    await deployed.complete()
    assert load.watermarks.went_back == []
    assert await four.stop() == 0, four.logged
    assert await deployed.committed() == await deployed.ends()


async def test_workers_that_all_die_at_once_leave_no_watermark_ahead(deployed: Deployment) -> None:
    async with Load(deployed, RATE) as load:
        workers = [deployed.start() for _ in range(3)]
        for worker in workers:
            await worker.started()
            await share(worker, 2, 3, 6)
        await load.goes_on(RATE)
        for worker in workers:
            worker.kill()
        assert await deployed.ahead() == []
        await deployed.start().started()
        await load.goes_on(RATE)
    await deployed.complete()
    assert load.watermarks.went_back == []


async def test_a_worker_that_was_frozen_past_its_session_changes_nothing_when_it_wakes(deployed: Deployment) -> None:
    async with Load(deployed, RATE) as load:
        frozen, other = deployed.start(), deployed.start()
        await frozen.started()
        await other.started()
        await share(frozen, 3)
        await share(other, 3)
        await load.goes_on(RATE)
        frozen.process.send_signal(signal.SIGSTOP)
        await share(other, 6)
        await load.goes_on(RATE)
        frozen.process.send_signal(signal.SIGCONT)
        await share(frozen, 3)
        await load.goes_on(RATE)
        assert await frozen.stop() == 0, frozen.logged
    await deployed.complete()
    assert load.watermarks.went_back == []


async def test_a_worker_in_the_middle_of_a_slow_write_holds_up_a_join_and_loses_nothing(deployed: Deployment) -> None:
    block = deployed.directory / "block"
    slow = await deployed.start(f"block={block}").started()
    await share(slow, 6)
    block.touch()
    await deployed.append(comments(videos_of(PARTITIONS), 300))
    await until(Path(f"{block}.met").exists, "a write that waits")
    joining, leaving = deployed.start(), deployed.start()

    async def waits() -> bool:
        return await deployed.group_state() == "PreparingRebalance"

    await until(waits, "a rebalance that waits for the write")
    await until(lambda: leaving.has_logged("joining"), "a worker that waits for its partitions")
    assert await leaving.stop() in (0, 75), leaving.logged
    assert joining.process.poll() is None
    block.unlink()
    await share(joining, 3)
    await share(slow, 3)
    await deployed.complete()


def test_a_watermark_that_goes_back_is_seen() -> None:
    watermarks = Watermarks()
    for at in ({0: 5}, {0: 5, 1: 3}, {0: 6, 1: 2}):
        watermarks.note(at)
    assert watermarks.went_back == ["partition 1: from 3 to 2"]
