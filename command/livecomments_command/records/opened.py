"""Log and store as the settings name them, embedded or distributed, for the commands that look after their records."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from livecomments.embedded.elapsed import elapsed_of
from livecomments.embedded.epochs import embedded_comments, embedded_epochs
from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.log_time import lifetime_of
from livecomments.log.interface import CommentLog
from livecomments.log.topics import DEAD_LETTER_TOPIC, comments_topic
from livecomments.runtime.retrying import after, retrying
from livecomments.sqlite import FILE_NAME, DurableFile
from livecomments.store.away import AwayStore
from livecomments.store.interface import CommentStore, Lifetime
from livecomments_command.records.mirror import MirroredStore, MirrorLog, MirrorOrigin
from livecomments_command.records.mirrored import Mirrored
from livecomments_command.records.one_log import OneLog
from livecomments_command.records.scan import patiently
from livecomments_command.settings import DerivingSettings, ToolSettings
from livecomments_schemas.epochs import Epoch, Epochs
from livecomments_schemas.errors import StartRefused

_LAST_TRIES: Final = 10
"""Half a second apart, of the last look at a log that is away when a command ends."""


@dataclass(frozen=True)
class Opened:
    """What a command works on. `topic` is the name of `log`, as Kafka calls it; each log is one (`OneLog`)."""

    topic: str
    log: CommentLog
    dead_letter_log: CommentLog
    store: CommentStore
    lifetime: Lifetime = field(default_factory=Lifetime)
    """By our clock alone, as servers count it: what is older may be missing in the store."""
    later: Sequence[CommentLog] = ()
    """The logs of the epochs after that of `log`, whose deletes may reach back to it."""


@asynccontextmanager
async def _held_to_one(found: Opened) -> AsyncIterator[Opened]:
    """Yield it with logs that are the same from here to the end. Raises StartRefused: one was made anew meanwhile."""
    names = [found.topic, DEAD_LETTER_TOPIC, *(comments_topic(one.epoch) for one in found.later)]
    logs = [found.log, found.dead_letter_log, *found.later]
    held = [OneLog(log, name) for log, name in zip(logs, names, strict=True)]
    for one in held:
        await patiently(one.begin)
    log, letters, *later = held
    yield replace(found, log=log, dead_letter_log=letters, later=later)
    for one in held:
        await retrying(one.check, after(_LAST_TRIES))


@asynccontextmanager
async def opened(
    settings: ToolSettings | DerivingSettings,
    *,
    needs_store: bool = True,
    epoch: int | None = None,
    mirror: Mirrored | None = None,
) -> AsyncIterator[Opened]:
    """Open the log and store of the settings for the context; without `needs_store`, a CQL store refuses all calls.

    `epoch` is one that the log tells of, the newest without. With `mirror` the log is what that holds copies of.

    Distributed, this works beside running services. Embedded, the file is one process's alone: stop the service first.

    Raises:
        StartRefused: no such topic, schema or data directory, or one in use; at the end: a log was made anew meanwhile.
        StoreUnavailable: the store does not answer.
    """
    async with AsyncExitStack() as stack:
        if settings.kafka:
            found = await _on_kafka(stack, settings, mirror, needs_store=needs_store, epoch=epoch)
        elif mirror is not None:
            raise StartRefused("A mirror is a topic of a Kafka: LIVECOMMENTS_KAFKA.")
        else:
            found = await _in_file(stack, settings, epoch)
        async with _held_to_one(found) as held:
            yield held


async def _on_kafka(
    stack: AsyncExitStack,
    settings: ToolSettings | DerivingSettings,
    mirror: Mirrored | None,
    *,
    needs_store: bool,
    epoch: int | None,
) -> Opened:
    from livecomments_command.assembly.kafka import comments_log, kafka_log, told_epochs, topic_name

    epochs = await told_epochs(settings)
    chosen = _chosen(epochs, epoch)
    topic = topic_name(settings, comments_topic(chosen.number))
    through: MirrorLog | None = None
    log: CommentLog
    if mirror is None:
        log = await stack.enter_async_context(comments_log(settings, chosen.contract, fences=chosen.fences))
    else:
        origin = MirrorOrigin(topic, settings.topic_prefix, chosen.contract)
        log = through = await stack.enter_async_context(mirror.opened(settings, origin))
    letters = await stack.enter_async_context(kafka_log(settings, DEAD_LETTER_TOPIC))
    store: CommentStore = AwayStore(lambda: _cql_store(settings, Lifetime()))
    if needs_store:
        lifetime = await lifetime_of(log, settings.store_ttl_s)
        store = await stack.enter_async_context(_cql_store(settings, lifetime))
        store = store if through is None else MirroredStore(store, through)
    later = [
        await stack.enter_async_context(comments_log(settings, one.contract, fences=one.fences))
        for one in epochs.known
        if one.number > chosen.number
    ]
    return Opened(topic, log, letters, store, Lifetime(settings.store_ttl_s), later)


async def _in_file(stack: AsyncExitStack, settings: ToolSettings | DerivingSettings, epoch: int | None) -> Opened:
    file = await stack.enter_async_context(_embedded_file(settings))
    elapsed = await elapsed_of(file)
    epochs = await embedded_epochs(file, settings.partitions)
    chosen = _chosen(epochs, epoch)
    comments = await stack.enter_async_context(embedded_comments(file, chosen.contract))
    after = [
        await stack.enter_async_context(embedded_comments(file, one.contract))
        for one in epochs.known
        if one.number > chosen.number
    ]
    letter_log = await stack.enter_async_context(EmbeddedLog(file, DEAD_LETTER_TOPIC, 0, 1))
    lifetime = await lifetime_of(comments, settings.store_ttl_s)
    store = await stack.enter_async_context(EmbeddedStore(file, lifetime=lifetime, elapsed=elapsed))
    kept = Lifetime(settings.store_ttl_s)
    return Opened(comments_topic(comments.epoch), comments, letter_log, store, kept, after)


async def opened_epochs(settings: ToolSettings) -> Epochs:
    """Return the epochs that the log tells of. Raises StartRefused as `opened` does."""
    if settings.kafka:
        from livecomments_command.assembly.kafka import told_epochs

        return await told_epochs(settings)
    async with _embedded_file(settings) as file:
        return await embedded_epochs(file, settings.partitions)


async def refuse_open_epoch(settings: ToolSettings, number: int | None) -> None:
    """Refuse to fill the store from a mirror of an epoch, None meaning the newest, that is still written to.

    The watermark would rise to the end of the mirror, and the stream job pass over what the mirror lacks.

    Raises:
        StartRefused: it is open, or there is no such epoch.
    """
    epochs = await opened_epochs(settings)
    chosen = _chosen(epochs, number)
    if epochs.is_open(chosen.number):
        raise StartRefused(
            f"Epoch {chosen.number} is open: its store is filled from its own topic, by rebuild without --from-mirror. "
            "If that topic is lost: livecomments epochs next --topic-lost, and then this again with --epoch "
            f"{chosen.number}."
        )


def _embedded_file(settings: ToolSettings | DerivingSettings) -> DurableFile:
    if not (settings.data_dir / FILE_NAME).exists():
        raise StartRefused(
            f"Nothing is kept in {settings.data_dir}. Set LIVECOMMENTS_DATA_DIR, or LIVECOMMENTS_KAFKA and _CQL."
        )
    return DurableFile(settings.data_dir, LOG_TABLES + STORE_TABLES)


def _chosen(epochs: Epochs, number: int | None) -> Epoch:
    """Return an epoch, None meaning the newest. Raises StartRefused: the log tells of no such epoch."""
    for one in reversed(epochs.known):
        if number in (None, one.number):
            return one
    if number is None:
        raise StartRefused("The log tells of no epoch yet. Open the first: livecomments topics --create")
    raise StartRefused(f"The log tells of no epoch {number}. See: livecomments epochs list")


def _cql_store(
    settings: ToolSettings | DerivingSettings, lifetime: Lifetime
) -> AbstractAsyncContextManager[CommentStore]:
    from livecomments_command.assembly.cql import cql_store  # who needs no store loads no driver

    return cql_store(settings, lifetime)
