"""What aiokafka fetched, as records, and reading on past a batch that it cannot decode.

Brokers do not check that the names of headers are UTF-8, and aiokafka raises at one that is not, for ever: a single
record of a foreign producer would stop all readers of its partition, and of all that share a consumer with it, for as
long as the log keeps it.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import cramjam  # noqa: F401 - aiokafka's snappy, lz4 and zstd, which it goes without in silence: no process of ours does

from livecomments.runtime.metrics import Counter
from livecomments_schemas.events import Record, headers_of

_log = logging.getLogger("livecomments.log")
_undecodable = Counter("livecomments_log_undecodable_batches_total", "Batches read whose rest was skipped: no UTF-8.")


def record_of(found: Any) -> Record:
    """Read what aiokafka fetched as a record."""
    return Record(found.partition, found.offset, found.key, found.value, headers_of(found.headers), found.timestamp)


def end_batches_at_undecodable(consumer: Any) -> None:
    """Let a started aiokafka consumer end a batch before its first record that cannot be decoded, with an error logged.

    What follows in the batch is of the same foreign producer, and is skipped by every reader alike, wherever it starts:
    a batch is always decoded from its beginning.
    """
    consumer._fetcher._records = _Fetched()


class _Fetched(OrderedDict[Any, Any]):
    """The fetcher's records by partition: wraps the batches of each as it comes in."""

    def __setitem__(self, topic_partition: Any, result: Any) -> None:
        if (records := getattr(result, "_partition_records", None)) is not None:  # else an error to be raised
            records._records = _Batches(records._records, topic_partition)
        super().__setitem__(topic_partition, result)


class _Batches:
    """aiokafka's MemoryRecords, as far as its PartitionRecords uses them."""

    def __init__(self, batches: Any, topic_partition: Any) -> None:
        self._batches = batches
        self._topic_partition = topic_partition
        self.has_next = batches.has_next

    def next_batch(self) -> Any:
        batch = self._batches.next_batch()
        return None if batch is None else _Batch(batch, self._topic_partition)


class _Batch:
    """A batch that ends before its first record that cannot be decoded."""

    def __init__(self, batch: Any, topic_partition: Any) -> None:
        self._batch = batch
        self._topic_partition = topic_partition

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            _undecodable.inc()
            where = {"partition": self._topic_partition.partition, "next_offset": self._batch.next_offset}
            _log.exception("rest of a batch skipped: a header's name is not UTF-8", extra=where)
