"""The epochs on Kafka: the topics, and the first epoch, which is opened when they are made.

An epoch is opened here and in `next_epoch`, and nowhere else. Each step may be repeated by anybody: of two who do it at
once the topic says who won, and who was killed is continued by whoever runs the command again.
"""

import dataclasses
from typing import Final, NamedTuple

from rich.table import Table

from livecomments.kafka.contract import CONTRACT_SETTINGS, Endangers, differences_of
from livecomments.kafka.topics import FoundTopic, compare, create_missing, find_topics, topic_id_of
from livecomments.log.epochs import KnownEpochs, read_epochs
from livecomments.log.topics import EPOCHS_TOPIC, Topic, comments_topic
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.assembly.kafka import (
    kafka_connection,
    kafka_log,
    known_epochs,
    topic_name,
    wanted_topics,
)
from livecomments_schemas.epochs import Contract, Epochs, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import timestamp
from livecomments_schemas.positions import EPOCH_MAX

_KEPT_AS_FOUND: Final = ("retention.ms", "retention.bytes")
"""Of a topic that is adopted: its operators chose them before there was a contract."""


class Checked(NamedTuple):
    """The outcome of a check, in sentences: topics made, differences, and notes that call for no action."""

    created: list[str]
    differences: list[str]
    notes: list[str]


async def check_topics(
    settings: ServerSettings, *, create: bool, epoch: int | None = None, partitions: int | None = None
) -> Checked:
    """Compare the topics with what they must be; with `create`, make what is missing and open the first epoch.

    Args:
        settings: where Kafka is.
        create: make and open; without, nothing is changed.
        epoch: the first epoch to tell of, where comments topics are there already and it does not follow which.
        partitions: of the first epoch: of the topic that is made, or those of one that has been given more since.

    Raises:
        StartRefused: the first epoch cannot be opened, with what to do.
        LogUnavailable: Kafka does not answer.
    """
    connection = kafka_connection(settings)
    comments, *others = wanted_topics(settings, 1)
    created = await create_missing(connection, others) if create else []
    differences = await compare(connection, others)
    if topic_name(settings, EPOCHS_TOPIC) not in await find_topics(connection, [topic_name(settings, EPOCHS_TOPIC)]):
        return Checked(created, differences, [])
    notes = []
    if create:
        async with known_epochs(settings) as known:
            if known.epochs.newest is None:
                made, note = await open_first(settings, known, epoch, partitions)
                created, notes = created + made, [note]
            epochs = known.epochs
    else:
        async with kafka_log(settings, EPOCHS_TOPIC) as log:
            epochs = await read_epochs(log)
    if epochs.newest is None:
        sentence = "No epoch is open yet. Open the first: livecomments topics --create"
        return Checked(created, [*differences, sentence], notes)
    contract = epochs.newest.contract
    comments = _of_contract(wanted_topics(settings, contract.epoch)[0], contract)
    found = (await find_topics(connection, [comments.name])).get(comments.name)
    topic_id = await topic_id_of(connection, comments.name) if found is not None else ""
    told = differences_of(contract, comments.name, found, topic_id, connection.addresses)
    notes += [one.sentence for one in told if one.endangers is Endangers.NOTHING]
    differences += [one.sentence for one in told if one.name in ("topic_id", "topic_missing", "partitions_missing")]
    if found is not None:
        as_many = dataclasses.replace(comments, partitions=found.partitions)
        differences += await compare(connection, [as_many])
    return Checked(created, differences, notes)


async def open_first(
    settings: ServerSettings, known: KnownEpochs, epoch: int | None, partitions: int | None = None
) -> tuple[list[str], str]:
    """Open the first epoch, on a new topic or on the one that exists; returns the topics made, and a sentence.

    Raises:
        StartRefused: several topics are there, or the one that is does not keep acknowledged comments.
        LogUnavailable, AppendUnavailable, AppendUnknown: run it again.
    """
    connection = kafka_connection(settings)
    numbers = {topic_name(settings, comments_topic(number)): number for number in range(1, EPOCH_MAX + 1)}
    there = sorted(numbers[name] for name in await find_topics(connection, numbers))
    if epoch is None and len(there) > 1:
        names = ", ".join(comments_topic(number) for number in there)
        raise StartRefused(
            f"There are {names}, and no epoch is told of yet. Say which one is written to: "
            f"livecomments topics --create --epoch {there[-1]}"
        )
    number = epoch or (there[0] if there else 1)
    wanted = wanted_topics(settings, number)[0]
    if partitions is not None and number not in there:
        wanted = dataclasses.replace(wanted, partitions=partitions)
    created = await create_missing(connection, [wanted])
    contract = await contract_of(settings, number, partitions)
    newest = (await known.say(epoch_opened(contract))).newest
    if newest is None or newest.contract != contract:
        return created, f"epoch {newest.number if newest else number} is open, as another said at the same time"
    how = "adopted" if number in there else "opened"
    return created, f"epoch {number} is {how}, with {contract.partitions} partitions"


async def contract_of(settings: ServerSettings, number: int, partitions: int | None = None) -> Contract:
    """Return the contract that the live comments topic of an epoch can keep, by as many `partitions` or all it has.

    Raises:
        StartRefused: it would not keep acknowledged comments.
        LogUnavailable: Kafka does not answer, or has no such topic just now.
    """
    connection = kafka_connection(settings)
    wanted = wanted_topics(settings, number)[0]
    topic_id = await topic_id_of(connection, wanted.name)
    found = (await find_topics(connection, [wanted.name])).get(wanted.name)
    if found is None:
        raise StartRefused(f"Topic {wanted.name} is gone again. Run this once more.")
    contract = Contract(number, partitions or found.partitions, topic_id, settings.replicas, _promised(wanted, found))
    for one in differences_of(contract, wanted.name, found, topic_id, connection.addresses):
        if one.endangers is Endangers.COMMENTS:
            raise StartRefused(one.sentence)
    return contract


def _promised(wanted: Topic, found: FoundTopic) -> dict[str, str]:
    promised = {key: wanted.settings[key] for key in CONTRACT_SETTINGS}
    return promised | {key: found.settings[key] for key in _KEPT_AS_FOUND if key in found.settings}


def _of_contract(topic: Topic, contract: Contract) -> Topic:
    return dataclasses.replace(topic, settings={**topic.settings, **contract.settings})


def table_of_epochs(epochs: Epochs, prefix: str) -> Table:
    """Return a table of the epochs, the oldest first; `prefix` is of the topics' names."""
    table = Table(title="Epochs", title_justify="left")
    for head in ("epoch", "topic", "partitions", "replicas", "opened", "closed", "why", "topic id"):
        table.add_column(head, justify="right" if head in ("epoch", "partitions", "replicas") else "left")
    for one in epochs.known:
        contract, closed = one.contract, "" if one.closed_at_ms is None else timestamp(one.closed_at_ms)
        name, counts = prefix + comments_topic(one.number), (str(contract.partitions), str(contract.replicas))
        opened = timestamp(one.opened_at_ms)
        table.add_row(str(one.number), name, *counts, opened, closed, one.reason, contract.topic_id)
    return table
