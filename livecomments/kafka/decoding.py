"""What aiokafka fetched, as our records at once, and what becomes of a batch that it cannot decode.

aiokafka makes a record of its own of each that it decodes, and passes it through two generators: with small batches
that takes longer than decoding it does. What it has fetched is therefore unpacked here, by its own decoder.

Brokers do not check that the names of headers are UTF-8, and aiokafka raises at one that is not, for ever: a single
record of a foreign producer would stop all readers of its partition, and of all that share a consumer with it, for as
long as the log keeps it. Nor does every broker check how large a batch is once it is unpacked.
"""

import logging
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.errors import CorruptRecordException, KafkaError

from livecomments.kafka.unpacking import UnpackedTooLarge, bound_unpacking
from livecomments.runtime.metrics import Counter
from livecomments_schemas.events import Record, headers_of

_log = logging.getLogger("livecomments.log")
_undecodable = Counter(
    "livecomments_log_undecodable_batches_total", "Batches whose rest was skipped: no UTF-8, too large."
)
_READ_UNCOMMITTED: Final = 0


def fetch_records(consumer: Any) -> None:
    """Let a started aiokafka consumer give out `Record`s, uncommitted ones too.

    A batch ends before its first record that cannot be decoded, with an error logged. What follows in it is of the same
    foreign producer, and is skipped by every reader alike, wherever it starts: a batch is always decoded from its
    beginning. So is a batch whose unpacked records exceed UNPACKED_BYTES_MAX: it is never unpacked, and skipped whole.

    What cannot be unpacked at all (a checksum that is wrong, a codec nobody knows, compressed bytes that are none) is
    told as a KafkaError, whatever the decoder raised, and stops the reader there: it may hold what was acknowledged.
    What lies before it in the same fetch is handed out first.
    """
    assert consumer._fetcher._isolation_level == _READ_UNCOMMITTED, "aborted records are not told from others here"
    bound_unpacking()
    consumer._fetcher._records = _Fetched()


class _Fetched(OrderedDict[Any, Any]):
    """The fetcher's records by partition: unpacks those of each as they are asked for."""

    def __setitem__(self, topic_partition: Any, result: Any) -> None:
        if (found := getattr(result, "_partition_records", None)) is not None:  # else an error to be raised
            result._partition_records = Unpacked(found._records, topic_partition, found.next_fetch_offset)
        super().__setitem__(topic_partition, result)


class Unpacked:
    """The records of a fetch of one partition: aiokafka's PartitionRecords, as far as its FetchResult uses them.

    An iterator, which may be left and gone on with. Raises KafkaError: the next one cannot be unpacked.
    """

    def __init__(self, batches: Any, topic_partition: Any, offset: int) -> None:
        self.next_fetch_offset = offset
        """What follows the last one that was given out; beyond what is no record, too."""
        self._records = self._unpack(batches, topic_partition)

    def __iter__(self) -> Iterator[Record]:
        return self._records  # the same again: it goes on where it was left

    def _unpack(self, batches: Any, topic_partition: Any) -> Iterator[Record]:
        partition: int = topic_partition.partition
        fetched_at = self.next_fetch_offset
        make = tuple.__new__  # of a NamedTuple, past its own `__new__`, which takes longer than the rest
        try:
            while (batch := batches.next_batch()) is not None:
                if not batch.validate_crc():
                    raise CorruptRecordException(f"Invalid CRC - {topic_partition}")  # the rest is fetched again
                following = batch.next_offset  # beyond what compaction took from its end
                if not batch.is_control_batch:
                    try:
                        for one in batch:
                            offset = one.offset
                            if offset >= self.next_fetch_offset:  # a batch begins before what was asked for
                                self.next_fetch_offset = offset + 1
                                headers = headers_of(one.headers)
                                yield make(Record, (partition, offset, one.key, one.value, headers, one.timestamp))
                    except (UnicodeDecodeError, UnpackedTooLarge) as error:
                        _undecodable.inc()
                        where = {"partition": partition, "next_offset": following}
                        _log.exception(f"rest of a batch skipped: {_why(error)}", extra=where)
                self.next_fetch_offset = following
        except Exception as error:
            if self.next_fetch_offset > fetched_at:
                return  # what lies before it is handed out; fetched again from here, it comes first
            if isinstance(error, KafkaError):
                raise
            sentence = f"{topic_partition} at {fetched_at} cannot be unpacked: {error!r}"
            raise CorruptRecordException(sentence) from error


def _why(error: UnicodeDecodeError | UnpackedTooLarge) -> str:
    return str(error) if isinstance(error, UnpackedTooLarge) else "a header's name is not UTF-8"
