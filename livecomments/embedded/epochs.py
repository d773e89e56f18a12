"""The epochs of the embedded file, in a topic of their own there, as on Kafka.

A file that was made before it had that topic is adopted: its comments topics say which epochs there were, and how many
partitions each has.
"""

import logging
import re
import sqlite3
from typing import Final

from livecomments.embedded.log import EmbeddedLog
from livecomments.log.epochs import read_epochs
from livecomments.log.topics import EPOCHS_TOPIC, comments_topic
from livecomments.sqlite import DurableFile
from livecomments_schemas.epochs import Contract, Epochs, epoch_closed, epoch_opened
from livecomments_schemas.events import NewRecord
from livecomments_schemas.positions import EPOCH_MAX

_COMMENTS_TOPIC: Final = re.compile(rf"{comments_topic(0)[:-1]}([1-9][0-9]{{0,3}})")
_REPLICAS: Final = 1
_LATER: Final = "a later epoch was written to when the epochs were first told"

_log = logging.getLogger("livecomments.log")


async def embedded_epochs(file: DurableFile, partitions: int) -> Epochs:
    """Return the file's epochs, the newest of them open.

    A file that tells of none is told them first: those of its comments topics, or, if it is new, one with `partitions`.

    Raises:
        StartRefused: the topic of epochs in the file cannot be read.
        StorageUnavailable: the file cannot be written.
    """
    async with EmbeddedLog(file, EPOCHS_TOPIC, 0, 1) as log:
        epochs = await read_epochs(log)
        if epochs.newest is not None:
            return epochs
        found = await file.read(_comments_topics)
        for record in first_records(found or {1: partitions}):
            await log.append(0, record)
        epochs = await read_epochs(log)
    if found and epochs.newest is not None:
        contract = epochs.newest.contract
        told = {"epoch": contract.epoch, "partitions": contract.partitions}
        _log.warning("a data directory from before epochs were told is adopted, once", extra=told)
    return epochs


def embedded_comments(file: DurableFile, contract: Contract) -> EmbeddedLog:
    """Return the comments topic of an epoch of the file, not yet opened."""
    return EmbeddedLog(file, comments_topic(contract.epoch), contract.epoch, contract.partitions)


def first_records(found: dict[int, int]) -> list[NewRecord]:
    """Return the records that first tell of these epochs, each with its partitions: all but the newest are closed.

    Where a number is missing in between, what is before it is not told: none can follow it.
    """
    first = newest = max(found)
    while first - 1 in found:
        first -= 1
    records = []
    for number in range(first, newest + 1):
        records.append(epoch_opened(Contract(number, found[number], "", _REPLICAS)))
        if number < newest:
            records.append(epoch_closed(number, _LATER))
    return records


def _comments_topics(file: sqlite3.Connection) -> dict[int, int]:
    """Return the epochs that have a comments topic in the file, each with its number of partitions."""
    found = {}
    for name, count in file.execute("SELECT name, partition_count FROM log_topics"):
        if (matched := _COMMENTS_TOPIC.fullmatch(name)) and int(matched[1]) <= EPOCH_MAX:
            found[int(matched[1])] = count
    return found
