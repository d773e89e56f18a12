"""A copy of the embedded file, made while a service uses it, and what makes a service of such a copy.

The copy is of one moment: one read transaction, for as long as it takes. The service goes on writing meanwhile, and the
write-ahead log beside its file grows by as much. What was written after that moment is not in the copy, and neither are
the ids that were given to it: so whoever goes on with a copy goes on in the next epoch, and gives none of them again.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from livecomments.embedded import log_rows as rows
from livecomments.embedded.elapsed import elapsed_of
from livecomments.embedded.epochs import embedded_epochs
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.epochs import read_epochs
from livecomments.log.topics import EPOCHS_TOPIC, comments_topic
from livecomments.sqlite import FILE_VERSION, DurableFile, errno_of
from livecomments_schemas.epochs import Contract, Epoch, epoch_closed, epoch_opened
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import NewRecord
from livecomments_schemas.positions import position_at

OFFSETS_A_SECOND: Final = 256
"""An epoch that begins with a copy begins at the offset of its time, so many a second: more than a partition of one
file takes for years on end. Two restored from the same copy know nothing of each other, and only time tells them apart.
The 40 bits of an offset last until 2106."""
_RESTORED: Final = NewRecord(b"", b"", {"type": b"log.restored"})
"""Before the first record of such an epoch, so that it begins there. Readers pass over types they do not know."""
_REASON: Final = "restored from a back-up"


class CopyRefused(StartRefused):
    """A copy cannot be made, or is not whole."""


def copy_file(source: Path, target: Path) -> None:
    """Copy a database that may be in use to a file that does not exist yet, and check the copy.

    Raises:
        CopyRefused: it cannot be read or written, or what was read is damaged. `target` may be there, in part.
        OSError: a disk is full, or fails.
    """
    try:
        with closing(sqlite3.connect(_read_only(source), uri=True)) as used, closing(sqlite3.connect(target)) as copy:
            used.backup(copy)  # in one step: by several it begins anew whenever something was written meanwhile
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, and nothing beside it
    except sqlite3.Error as error:
        if (number := errno_of(error)) is not None:
            raise OSError(number, os.strerror(number), str(target)) from error
        raise CopyRefused(f"{source} cannot be copied to {target}: {error}.") from error
    check_copy(target)


def check_copy(path: Path) -> None:
    """Check that a copy is a whole file of ours; reads all of it. Raises CopyRefused."""
    try:
        with closing(sqlite3.connect(_read_only(path), uri=True)) as copy:
            (version,) = copy.execute("PRAGMA user_version").fetchone()
            (found,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.Error as error:
        raise CopyRefused(f"{path} is damaged: {error}.") from error
    if found != "ok":
        raise CopyRefused(f"{path} is damaged: {found}.")
    if version != FILE_VERSION:
        raise CopyRefused(f"{path} has version {version}; this livecomments reads version {FILE_VERSION}.")


async def begin_next_epoch(file: DurableFile, partitions: int, clock: Callable[[], float]) -> Epoch:
    """Close the newest epoch of a copy and open the next, in which ids are given that were never given before.

    Args:
        file: the copy, which no service has yet.
        partitions: of a copy that tells of no epoch and has no comments.
        clock: Unix seconds.

    Raises:
        StartRefused: there is no epoch left, or the copy is not what its epochs say.
    """
    await elapsed_of(file, clock=clock)  # before anything is stamped by this machine's clock
    *_, newest = (await embedded_epochs(file, partitions)).known
    contract = Contract(newest.number + 1, newest.contract.partitions, "", newest.contract.replicas)
    first = int(clock() * OFFSETS_A_SECOND)

    def begin(connection: sqlite3.Connection) -> None:
        topic_id = rows.declare(connection, comments_topic(contract.epoch), contract.partitions)
        for partition in range(contract.partitions):
            rows.insert_at(connection, topic_id, partition, first - 1, _RESTORED, int(clock() * 1_000))

    await file.write(begin)
    async with EmbeddedStore(file) as store:  # else pages take all that lies before for not yet stored
        for partition in range(contract.partitions):
            await store.advance_watermark(contract.epoch, partition, position_at(contract.epoch, first - 1))
    async with EmbeddedLog(file, EPOCHS_TOPIC, 0, 1) as log:
        if not newest.is_closed:
            await log.append(0, epoch_closed(newest.number, _REASON))
        await log.append(0, epoch_opened(contract))
        opened = (await read_epochs(log)).newest
    if opened is None or opened.contract != contract:
        raise StartRefused(f"No epoch can follow epoch {newest.number}: export the comments, and begin anew.")
    return opened


def _read_only(path: Path) -> str:
    return f"file:{quote(str(path.resolve()))}?mode=ro"
