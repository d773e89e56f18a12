"""Opening the next epoch on Kafka, after the topic of the newest one, or its end, was lost."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Final

from livecomments.history.log_time import lifetime_of
from livecomments.kafka.contract import differences_of
from livecomments.kafka.topics import create_missing, find_topics, topic_id_of
from livecomments.log.epochs import EPOCHS_AGE_MAX_S
from livecomments.log.topics import DEAD_LETTER_TOPIC, comments_topic
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.assembly.cql import cql_store
from livecomments_command.assembly.kafka import (
    comments_log,
    foreign_log,
    kafka_connection,
    kafka_log,
    known_epochs,
    topic_name,
    wanted_topics,
)
from livecomments_command.epochs import contract_of
from livecomments_schemas.epochs import Contract, epoch_closed, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import EPOCH_MAX
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.finishing import store_to_end

TOPIC_LOST: Final = "its topic was lost"
END_LOST: Final = "its topic lost its end"


async def open_next(settings: ServerSettings, *, topic_lost: bool, end_lost: bool, say: Callable[[str], None]) -> None:
    """Open the next epoch, with as many partitions, after the newest one's topic or its end was lost.

    The newest is closed first: from then on nobody writes there. What its topic still holds, if it is the same topic,
    is stored to its end before the next one opens. Killed at any step and run again, it goes on.

    Args:
        settings: where Kafka and the store are.
        topic_lost: the operator says that the topic is gone for good.
        end_lost: the operator says that the topic lost its end, to a leader that was out of sync.
        say: told each step in a sentence.

    Raises:
        StartRefused: the topic is not as the operator says, or nothing is to be opened; with what to do.
        LogUnavailable, StoreUnavailable, AppendUnavailable, AppendUnknown: run it again.
    """
    async with known_epochs(settings) as known:
        newest = known.epochs.newest
        if newest is None:
            raise StartRefused("The log tells of no epoch yet. Open the first: livecomments topics --create")
        if not newest.is_closed:
            reason = await _reason(settings, newest.contract, topic_lost=topic_lost, end_lost=end_lost)
            newest = (await known.say(epoch_closed(newest.number, reason))).newest or newest
        if newest.fences:
            raise StartRefused(f"Epoch {newest.number} grows. Go on with that: livecomments epochs grow --partitions …")
        if not newest.is_closed:
            raise StartRefused(f"Another opened epoch {newest.number} at the same time. See: livecomments epochs list")
        say(f"epoch {newest.number} is closed: {newest.reason}")
        if newest.reason != TOPIC_LOST:
            await _store_rest(settings, newest.contract, say)
        number = newest.number + 1
        created = await _new_topic(settings, number, newest.contract.partitions)
        for name in created:
            say(f"created {name}")
        contract = await contract_of(settings, number)
        opened = (await known.say(epoch_opened(contract))).newest
        by = "" if opened is None or opened.contract == contract else ", as another said at the same time"
        say(f"epoch {number} is open{by}; processes end by themselves (exit code 75) and are to be started again")


async def _reason(settings: ServerSettings, contract: Contract, *, topic_lost: bool, end_lost: bool) -> str:
    """Return the reason to close an epoch. Raises StartRefused: the live topic is not as the operator says."""
    connection = kafka_connection(settings)
    name = topic_name(settings, comments_topic(contract.epoch))
    found = (await find_topics(connection, [name])).get(name)
    topic_id = await topic_id_of(connection, name) if found is not None else ""
    told = {one.name: one for one in differences_of(contract, name, found, topic_id, connection.addresses)}
    gone = [told[name] for name in ("topic_missing", "topic_id", "partitions_missing") if name in told]
    if gone and topic_lost:
        return TOPIC_LOST
    if gone:
        raise StartRefused(f"{gone[0].sentence} What was acknowledged there and is not in the store is then lost.")
    if end_lost:
        return END_LOST
    if topic_lost:
        raise StartRefused(
            f"Topic {name} is the one that epoch {contract.epoch} was opened with, so it is not lost. If it lost its "
            "end, to a leader that was out of sync: livecomments epochs next --end-lost"
        )
    raise StartRefused(
        f"Topic {name} is the one that epoch {contract.epoch} was opened with: nothing is to be opened. If the "
        "processes say that the log went back, it lost its end; then: livecomments epochs next --end-lost"
    )


async def _store_rest(settings: ServerSettings, contract: Contract, say: Callable[[str], None]) -> None:
    """Wait until nobody can still be writing to a closed epoch, and store what is in its topic."""
    wait_s = EPOCHS_AGE_MAX_S + settings.append_timeout_s
    say(f"waiting {wait_s:g} s for the last writers")
    await asyncio.sleep(wait_s)
    topic = topic_name(settings, comments_topic(contract.epoch))
    async with (
        comments_log(settings, contract) as log,
        kafka_log(settings, DEAD_LETTER_TOPIC) as letters,
        cql_store(settings, await lifetime_of(log, settings.store_ttl_s)) as store,
    ):
        stored = await store_to_end(log, store, DeadLetters(letters, topic))
    say(f"{stored:,} records of {topic} were not stored yet, and are now")


async def _new_topic(settings: ServerSettings, number: int, partitions: int) -> list[str]:
    """Make the topic of the next epoch, unless it exists and is empty; returns its name.

    Raises:
        StartRefused: there is no room for another epoch, or the topic is there and holds records.
    """
    if number > EPOCH_MAX:
        raise StartRefused(f"Epoch {EPOCH_MAX} was the last that a comment's id has room for.")
    wanted = dataclasses.replace(wanted_topics(settings, number)[0], partitions=partitions)
    if created := await create_missing(kafka_connection(settings), [wanted]):
        return created
    async with foreign_log(settings, wanted.name) as log:
        ends = await log.bounds(range(log.partition_count))
    if any(held.end for held in ends.values()):
        raise StartRefused(
            f"Topic {wanted.name} is there already, and holds records that are of no epoch. Delete it; run this again."
        )
    return []
