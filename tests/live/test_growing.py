"""Growing on a real Kafka with a real stream job: to its end, refused before the first fence, and gone on with."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from rich.console import Console

from livecomments.history.log_end import check_log
from livecomments.log.interface import AppendUnavailable
from livecomments.log.topics import EPOCHS_TOPIC
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.assembly.kafka import comments_log, kafka_log, told_epochs
from livecomments_command.grow import grow
from livecomments_schemas.epochs import Epochs, epoch_ending
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import EPOCH_FENCE, epoch_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import first_position
from tests.live.stream import Deployment, comments, deployment, until, videos_of
from tests.schemas.records import comment

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


async def test_an_epoch_grows_to_its_end_and_the_stream_job_goes_on_by_itself(deployed: Deployment) -> None:
    settings = settings_of(deployed)
    await deployed.append(comments(videos_of(2), 50, "before"))
    worker = await deployed.start().started()
    await deployed.complete()
    await asyncio.gather(grow(settings, 4, QUIET), grow(settings, 4, QUIET))
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
        position = first_position(following.number) + offset

        async def is_stored() -> bool:
            return await deployed.store.watermark(following.number, number) >= position

        await until(is_stored, "the stream job in the next epoch", 60.0)
    assert worker.process.poll() is None, worker.logged
    await grow(settings, 4, QUIET)
    assert await epochs_of(deployed) == epochs


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
    growth = asyncio.create_task(grow(settings, 4, QUIET, stored_within_s=0.0))
    worker = await deployed.start().started()  # it is waited for, and not asked for
    await growth
    ended, following = (await epochs_of(deployed)).known
    assert (len(ended.fences), following.contract.partitions) == (2, 4)
    assert worker.process.poll() is None, worker.logged
