"""Growing on a real Kafka with a real stream job: to its end, refused before the first fence, and gone on with."""

import asyncio
import dataclasses
import io
import json
import re
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from infra.local.ports import HOST, free_port
from infra.local.servers import KafkaCluster, running, why_unavailable
from livecomments.cql.migrations import migrate
from livecomments.history.log_end import check_log
from livecomments.log.interface import AppendUnavailable
from livecomments.log.topics import EPOCHS_TOPIC
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.assembly.kafka import comments_log, kafka_log, told_epochs
from livecomments_command.epochs import check_topics
from livecomments_command.grow import grow
from livecomments_command.records.export import ExportPlan, export
from livecomments_command.records.opened import opened
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_plan import ReplayPlan
from livecomments_command.records.replay_sinks import Lines
from livecomments_command.records.verify import verify
from livecomments_command.settings import ToolSettings
from livecomments_schemas.epochs import Epochs, epoch_ending
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import EPOCH_FENCE, comment_deleted, epoch_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.live.stream import WAIT_S, Deployment, comments, deployment, until, videos_of
from tests.schemas.records import comment
from tests.store.examples import DATACENTER, drop_keyspace, new_keyspace

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

QUIET = Console(quiet=True)


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path) as made:
        yield made


def settings_of(deployed: Deployment) -> ServerSettings:
    return ServerSettings(
        kafka=deployed.kafka,
        cql=deployed.cql,
        cql_keyspace=deployed.keyspace,
        replicas=1,
        topic_prefix=deployed.own.prefix,
    )


async def epochs_of(deployed: Deployment) -> Epochs:
    return await told_epochs(settings_of(deployed))


async def test_an_epoch_grows_to_its_end_and_the_stream_job_goes_on_by_itself(
    deployed: Deployment, tmp_path: Path
) -> None:
    settings = settings_of(deployed)
    await deployed.append(comments(videos_of(2), 50, "before"))
    worker = await deployed.start().started()
    await deployed.complete()
    too_many = 20_000  # which Kafka makes of no topic at once
    for refused, partitions, why in (
        (dataclasses.replace(settings, cql=f"{HOST}:{free_port()}"), 4, "store did not answer.* No fence was written"),
        (settings, too_many, "does not create topic .* No fence was written"),
    ):
        with pytest.raises(StartRefused, match=why):
            await grow(refused, partitions, QUIET)
    assert [one.ends for one in (await epochs_of(deployed)).known] == [()], "nothing half done"
    said = io.StringIO()
    await asyncio.gather(*(grow(settings, 4, Console(file=said, width=300), late_s=0.0) for _ in range(2)))
    assert re.search(r"writes waited [0-9.]+ s: .* for the stream job", said.getvalue()), said.getvalue()
    epochs = await epochs_of(deployed)
    assert [one.contract.partitions for one in epochs.known] == [2, 4]
    ended, following = epochs.known
    with pytest.raises(AppendUnavailable):
        await deployed.log.append(0, comment())
    async with comments_log(settings, ended.contract, fences=ended.fences) as old:
        await check_log(old, deployed.store)  # what lies behind the fences is void, and stored as such
    video = videos_of(2)[0]
    async with comments_log(settings, following.contract) as log:
        number = partition_of(video, 4)
        offset = await log.append(number, comment(video))
        position = position_at(following.number, offset)

        async def is_stored() -> bool:
            return await deployed.store.watermark(following.number, number) >= position

        await until(is_stored, "the stream job in the next epoch", 60.0)
        victim = comment_id(position_at(ended.number, 0), partition_of(video, 2))
        offset = await log.append(number, comment_deleted(video, victim, "mod"))
        position = position_at(following.number, offset)
        await until(is_stored, "the delete of a comment of the epoch before", 60.0)
    assert worker.process.poll() is None, worker.logged
    await grow(settings, 4, QUIET)
    assert await epochs_of(deployed) == epochs
    await check_tools(deployed, tmp_path, ended.number, following.number)


async def check_tools(deployed: Deployment, directory: Path, *numbers: int) -> None:
    """Each epoch is exported, replayed and stored anew by itself, and a delete reaches back over the seam."""
    keyspace, video = new_keyspace(), videos_of(2)[0]
    await asyncio.to_thread(migrate, deployed.cql, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)
    try:
        anew = ToolSettings(**dataclasses.asdict(settings_of(deployed)) | {"cql_keyspace": keyspace})
        counts, verdicts = [], []
        for number in reversed(numbers):  # the delete before what it deletes
            async with opened(anew, epoch=number) as found:
                assert (await rebuild(found, QUIET)).whole
        for number in numbers:
            async with opened(anew, epoch=number) as found:
                findings = await verify(found, QUIET)
                assert findings.ok, findings.shown
                counts.append((await export(found, QUIET, ExportPlan(directory / f"{number}", "jsonl"))).comments)
                written = io.BytesIO()
                await replay(found, QUIET, ReplayPlan(video_id=video), Lines(written, number))
                verdicts.append(Counter(json.loads(line)["verdict"] for line in written.getvalue().splitlines()))
        assert counts == [50 - 1, 1]
        of_video = sum(one.key == video.encode() for one in comments(videos_of(2), 50))
        assert verdicts == [{"accepted": of_video}, {"accepted": 2}]
    finally:
        await asyncio.to_thread(drop_keyspace, deployed.cql, keyspace)


@pytest.mark.parametrize(("partitions", "why"), [(1, "can only grow"), (3, "no multiple"), (4, "stream job")])
async def test_what_would_not_come_to_its_end_is_refused_before_the_first_fence(
    deployed: Deployment, partitions: int, why: str
) -> None:
    await deployed.append(comments(videos_of(2), 5, "before"))
    with pytest.raises(StartRefused, match=why):
        await grow(settings_of(deployed), partitions, QUIET, stored_within_s=2.0)
    (only,) = (await epochs_of(deployed)).known
    assert (only.ends, only.is_closed) == ((), False)


async def test_whoever_comes_after_a_fence_goes_on_without_asking_again(deployed: Deployment) -> None:
    settings = settings_of(deployed)
    await deployed.append(comments(videos_of(2), 5, "before"))
    async with kafka_log(settings, EPOCHS_TOPIC) as told:  # as one does that is killed after its first fence
        await told.append(0, epoch_ending(deployed.epoch, list((await deployed.ends()).values())))
    await deployed.log.append(0, epoch_event(EPOCH_FENCE, deployed.epoch))
    growth = asyncio.create_task(grow(settings, 4, QUIET, stored_within_s=0.0, late_s=0.0))
    worker = await deployed.start().started()  # it is waited for, and not asked for
    await growth
    ended, following = (await epochs_of(deployed)).known
    assert (len(ended.fences), following.contract.partitions) == (2, 4)
    assert worker.process.poll() is None, worker.logged


STEPS = ["created", "writing the fences", "writes wait for the next", "is open"]
"""What a growth says, in this order."""


@pytest.mark.timeout(600)
async def test_a_growth_that_is_killed_at_any_step_is_gone_on_with_by_another(
    deployed: Deployment, tmp_path: Path
) -> None:
    await deployed.append(comments(videos_of(2), 5, "before"))
    worker = await deployed.start().started()
    for step, partitions in zip(STEPS, (4, 8, 16, 32), strict=True):
        killed = await growing(deployed, partitions)
        assert killed.stdout is not None
        async with asyncio.timeout(WAIT_S):
            while step not in (line := (await killed.stdout.readline()).decode()):
                assert line, f"ended before it said {step!r}"
        killed.kill()
        await killed.wait()
        another = await growing(deployed, partitions)
        async with asyncio.timeout(WAIT_S):
            told, _ = await another.communicate()
        assert another.returncode == 0, f"killed once it said {step!r}:\n{told.decode()}"
    known = (await epochs_of(deployed)).known
    assert [one.contract.partitions for one in known] == [2, 4, 8, 16, 32], "each grew once"
    assert [len(one.fences) for one in known] == [2, 4, 8, 16, 0]
    assert worker.process.poll() is None, worker.logged


async def growing(deployed: Deployment, partitions: int) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "livecomments_command", "epochs", "grow", "--partitions", str(partitions)]
    return await asyncio.create_subprocess_exec(*command, env=deployed.environ, stdout=PIPE, stderr=STDOUT)


async def test_a_growth_with_a_broker_away_is_refused_before_the_first_fence_until_it_is_back(
    cql_address: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    cluster, keyspace = KafkaCluster(tmp_path_factory.mktemp("cluster"), heap_mb=192), new_keyspace()
    settings = ServerSettings(kafka=cluster.address, cql=cql_address, cql_keyspace=keyspace, replicas=3)
    with running(cluster):
        await check_topics(settings, create=True, partitions=2)
        await asyncio.to_thread(migrate, cql_address, keyspace=keyspace, datacenter=DATACENTER, replication_factor=1)

        async def refusal() -> str:
            with pytest.raises(StartRefused, match="No fence was written") as refused:
                await grow(settings, 4, QUIET, stored_within_s=0.0)
            (only,) = (await told_epochs(settings)).known
            assert (only.ends, only.is_closed) == ((), False)
            return str(refused.value)

        broker = cluster.brokers[-1]
        await asyncio.to_thread(broker.kill)
        while "a broker is away" not in (why := await refusal()):  # which Kafka notices after nine seconds
            assert "did not answer" in why or "was not stored" in why
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(cluster.wait_ready)
        while "a broker is away" in (why := await refusal()):
            pass
        assert "the stream job is down" in why  # no other reason is left
    await asyncio.to_thread(drop_keyspace, cql_address, keyspace)
