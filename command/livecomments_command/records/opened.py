"""Log and store as the settings name them, embedded or distributed, for the commands that look after their records."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.history.log_time import lifetime_of
from livecomments.log.interface import CommentLog
from livecomments.sqlite import FILE_NAME, DurableFile
from livecomments.store.away import AwayStore
from livecomments.store.interface import CommentStore, Lifetime
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from livecomments_topics import DEAD_LETTER_TOPIC, comments_topic


@dataclass(frozen=True)
class Opened:
    """What a command works on. `topic` is the name of `log`."""

    topic: str
    log: CommentLog
    dead_letter_log: CommentLog
    store: CommentStore
    lifetime: Lifetime = field(default_factory=Lifetime)
    """By our clock alone, as servers count it: what is older may be missing in the store."""


@asynccontextmanager
async def opened(settings: ToolSettings, *, needs_store: bool = True) -> AsyncIterator[Opened]:
    """What the settings name, open until it is left; without `needs_store` every call of a CQL store is refused.

    Distributed, this works beside running services. Embedded, the file is one process's alone: stop the service first.

    Raises:
        StartRefused: no such topic, schema or data directory, or one in use.
        StoreUnavailable: the store does not answer.
    """
    topic = comments_topic(settings.epoch)
    async with AsyncExitStack() as stack:
        if settings.kafka:
            from livecomments_command.assembly.kafka import kafka_log

            log = await stack.enter_async_context(kafka_log(settings, topic))
            letters = await stack.enter_async_context(kafka_log(settings, DEAD_LETTER_TOPIC))
            store: CommentStore = AwayStore(lambda: _cql_store(settings, Lifetime()))
            if needs_store:
                lifetime = await lifetime_of(log, settings.store_ttl_s)
                store = await stack.enter_async_context(_cql_store(settings, lifetime))
            yield Opened(topic, log, letters, store, Lifetime(settings.store_ttl_s))
            return
        if not (settings.data_dir / FILE_NAME).exists():
            raise StartRefused(
                f"Nothing is kept in {settings.data_dir}. Set LIVECOMMENTS_DATA_DIR, or LIVECOMMENTS_KAFKA and _CQL."
            )
        file = await stack.enter_async_context(DurableFile(settings.data_dir, LOG_TABLES + STORE_TABLES))
        embedded = [(topic, settings.partitions), (DEAD_LETTER_TOPIC, 1)]
        logs = [
            await stack.enter_async_context(EmbeddedLog(file, name, settings.epoch, count)) for name, count in embedded
        ]
        lifetime = await lifetime_of(logs[0], settings.store_ttl_s)
        store = await stack.enter_async_context(EmbeddedStore(file, lifetime=lifetime))
        yield Opened(topic, logs[0], logs[1], store, Lifetime(settings.store_ttl_s))


def _cql_store(settings: ToolSettings, lifetime: Lifetime) -> AbstractAsyncContextManager[CommentStore]:
    from livecomments_command.assembly.cql import cql_store  # who needs no store loads no driver

    return cql_store(settings, lifetime)
