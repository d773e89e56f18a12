"""What the stream job survives, and how it ends where it cannot: nothing acked that is not stored."""

import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.local.ports import free_port
from tests.live.stream import Deployment, Worker, comments, deployment, until, videos_of


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path) as made:
        yield made


async def test_every_row_is_stored_once_and_sigterm_ends_it_with_all_committed(deployed: Deployment) -> None:
    await deployed.append(comments(videos_of(2), 3_000, "first"))
    worker = await deployed.start().started()
    await deployed.complete()
    await deployed.append(comments(videos_of(2), 500, "second"))
    await deployed.complete()
    assert await worker.stop() == 0, worker.logged
    assert worker.said == ""
    assert await deployed.committed() == await deployed.ends()


async def test_a_store_that_is_away_is_tried_again(deployed: Deployment) -> None:
    away = deployed.directory / "away"
    worker = await deployed.start(f"away={away}").started()
    await deployed.append(comments(videos_of(2), 200, "first"))
    await deployed.complete()
    before = await deployed.watermarks()
    away.touch()
    await deployed.append(comments(videos_of(2), 200, "second"))
    await until(Path(f"{away}.met").exists, "a write that failed")
    assert await deployed.watermarks() == before
    away.unlink()
    await deployed.complete()
    assert await worker.stop() == 0, worker.logged


async def test_a_worker_that_waits_for_its_store_says_so(deployed: Deployment) -> None:
    worker = deployed.start(cql=f"127.0.0.1:{free_port()}")
    await until(lambda: worker.has_logged("store not open, trying again"), "a try")
    assert await worker.readiness() == (503, {"store": False, "group": False, "delivery": False})
    assert await worker.stop() == -signal.SIGTERM


async def test_a_bug_in_the_middle_of_a_batch_ends_the_process_with_nothing_acked(deployed: Deployment) -> None:
    bug = deployed.directory / "bug"
    worker = await deployed.start(f"raise={bug}").started()
    await deployed.append(comments(videos_of(2), 100, "first"))
    await deployed.complete()
    await until(lambda: _is_committed(deployed), "the first batch committed")
    before = await deployed.committed()
    bug.touch()
    await deployed.append(comments(videos_of(2), 100, "second"))
    assert await worker.ended() == 70
    assert "ValueError: a bug, in the middle of a batch" in worker.logged
    assert worker.said.splitlines()[-1].startswith("livecomments: A bug ended the job: ValueError")
    assert await deployed.committed() == before
    assert await deployed.ahead() == []
    assert await deployed.differences() != []
    await deployed.start().started()
    await deployed.complete()


async def test_sigterm_lets_a_slow_write_finish(deployed: Deployment) -> None:
    block = deployed.directory / "block"
    worker = await deployed.start(f"block={block}").started()
    block.touch()
    await deployed.append(comments(videos_of(2), 300, "slow"))
    await until(Path(f"{block}.met").exists, "a write that waits")
    worker.process.terminate()
    await until(lambda: worker.has_logged("told to stop"), "the signal taken")
    block.unlink()
    assert await worker.ended(10.0) == 0, worker.logged
    committed = await deployed.committed()
    assert sum(committed.values()) > 0
    assert {0: 0, 1: 0} | committed == await deployed.watermarks()
    assert await deployed.ahead() == []
    await deployed.start().started()
    await deployed.complete()


async def test_sigterm_ends_a_worker_whose_store_is_away_with_nothing_acked(deployed: Deployment) -> None:
    away = deployed.directory / "away"
    worker = await deployed.start(f"away={away}").started()
    away.touch()
    await deployed.append(comments(videos_of(2), 300, "late"))
    await until(Path(f"{away}.met").exists, "a write that failed")
    started = time.monotonic()
    assert await worker.stop() == 75, worker.logged
    assert time.monotonic() - started < 12.0
    assert worker.said.startswith("livecomments: Stopped before all that was taken could be stored")
    assert await deployed.committed() == {}
    assert await deployed.ahead() == []
    await deployed.start().started()
    await deployed.complete()


async def test_kill_9_in_the_middle_of_a_write_loses_nothing(deployed: Deployment) -> None:
    block = deployed.directory / "block"
    worker = await deployed.start(f"block={block}").started()
    await deployed.append(comments(videos_of(2), 500, "first"))
    await deployed.complete()
    block.touch()
    await deployed.append(comments(videos_of(2), 500, "second"))
    await until(Path(f"{block}.met").exists, "a write that waits")
    worker.kill()
    assert await deployed.ahead() == []
    assert len(await deployed.differences()) == 5
    await deployed.start().started()
    await deployed.complete()


async def test_a_faust_that_gave_up_ends_the_process(deployed: Deployment) -> None:
    """It would stay in the group, holding its partitions and reading nothing."""
    crash = deployed.directory / "crash"
    worker = await deployed.start(f"crash={crash}").started()
    crash.touch()
    await deployed.append(comments(videos_of(2), 100))
    assert await worker.ended() == 70
    assert worker.said.splitlines()[-1].startswith("livecomments: Faust gave up: ValueError")
    assert await deployed.ahead() == []
    await deployed.start().started()
    await deployed.complete()


async def test_a_faust_that_delivers_nothing_more_is_told_and_the_rows_are_stored_all_the_same(
    deployed: Deployment,
) -> None:
    deaf = deployed.directory / "deaf"
    worker = await deployed.start(f"deaf={deaf}").started()
    assert await worker.readiness() == (200, {"store": True, "group": True, "delivery": True})
    deaf.touch()
    await deployed.append(comments(videos_of(2), 100, "first"))
    await until(Path(f"{deaf}.met").exists, "a write")
    await deployed.complete()  # by now it was seen where the log ends: of what comes, the group is to blame
    await deployed.append(comments(videos_of(2), 100, "second"))
    await until(lambda: _is_deaf(worker), "a readiness that says it")
    await deployed.complete()
    assert await worker.metric("undelivered_total") > 0


async def test_a_watermark_written_before_its_rows_is_seen(deployed: Deployment) -> None:
    ahead, block = deployed.directory / "ahead", deployed.directory / "block"
    worker = await deployed.start(f"ahead={ahead}", f"block={block}").started()
    ahead.touch()
    block.touch()
    await deployed.append(comments(videos_of(2), 50))
    await until(Path(f"{block}.met").exists, "a write that waits")
    worker.kill()
    assert any("not stored, and the watermark is at" in sentence for sentence in await deployed.ahead())


async def test_a_body_that_lets_its_exception_out_is_seen_by_what_it_loses(deployed: Deployment) -> None:
    """Faust's stock pattern, with the same store: the batches are acked, and nobody has stored them."""
    bug = deployed.directory / "bug"
    bug.touch()
    await deployed.append(comments(videos_of(2), 300))
    worker = await deployed.start(f"raise={bug}", "stock-body").started()
    await until(lambda: _is_committed(deployed), "everything committed")
    worker.kill()
    assert len(await deployed.differences()) == 5
    assert await deployed.ahead() == []
    await deployed.start().started()
    await deployed.complete()  # the next worker goes by what is stored, not by what is committed


async def _is_deaf(worker: Worker) -> bool:
    return await worker.readiness() == (503, {"store": True, "group": True, "delivery": False})


async def _is_committed(deployed: Deployment) -> bool:
    return await deployed.committed() == await deployed.ends()
