"""What a broker's refusal of a batch is worth: whether it is written, and whether one record is to blame or all are.

A refusal is certain only if the batch was never sent before. A broker looks at sizes, rights and rules before it looks
whether it has the batch already, so that the second sending of a batch that was written, its answer lost, is refused
like one that never was (Kafka 4.3, measured: `max.message.bytes` lowered in between).
"""

from enum import Enum
from typing import Any, Final

from aiokafka import errors
from aiokafka.errors import BrokerResponseError


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc]  # aiokafka has no types here
    """A record breaks a rule of the topic, such as one without a key where keys are compacted. aiokafka lacks it."""

    errno = 87
    message = "INVALID_RECORD"


class UnsupportedCompressionTypeError(BrokerResponseError):  # type: ignore[misc]  # aiokafka has no types here
    """The broker does not take this codec. aiokafka lacks it."""

    errno = 76
    message = "UNSUPPORTED_COMPRESSION_TYPE"


class Refusal(Enum):
    """What a refusal says of the records of the batch."""

    UNKNOWN = "unknown"
    """They may be written."""
    OF_A_RECORD = "of a record"
    """None is written; without the record that is to blame the others would be."""
    OF_ALL = "of all"
    """None is written, and none would be alone."""
    OF_THE_PRODUCER = "of the producer"
    """None is written; another producer may write them."""


_CERTAIN: Final[dict[type[BaseException], Refusal]] = {
    errors.MessageSizeTooLargeError: Refusal.OF_A_RECORD,
    errors.RecordListTooLargeError: Refusal.OF_A_RECORD,  # larger than a segment of the topic
    InvalidRecordError: Refusal.OF_A_RECORD,
    errors.InvalidTimestampError: Refusal.OF_ALL,  # the time of all of them is that of the batch
    errors.InvalidTopicError: Refusal.OF_ALL,
    errors.TopicAuthorizationFailedError: Refusal.OF_ALL,
    errors.ClusterAuthorizationFailedError: Refusal.OF_ALL,
    errors.PolicyViolationError: Refusal.OF_ALL,
    errors.InvalidRequestError: Refusal.OF_ALL,
    errors.UnsupportedVersionError: Refusal.OF_ALL,
    errors.UnsupportedForMessageFormatError: Refusal.OF_ALL,
    UnsupportedCompressionTypeError: Refusal.OF_ALL,
    errors.CorruptRecordException: Refusal.OF_THE_PRODUCER,  # spoilt on the way
    errors.OutOfOrderSequenceNumber: Refusal.OF_THE_PRODUCER,
    errors.UnknownProducerId: Refusal.OF_THE_PRODUCER,
    errors.ProducerFenced: Refusal.OF_THE_PRODUCER,
}


def know_all_refusals() -> None:
    """Let aiokafka tell the refusals that it takes for an unknown error."""
    for error in (InvalidRecordError, UnsupportedCompressionTypeError):
        errors.kafka_errors[error.errno] = error


def refusal_of(error: BaseException, sendings: int) -> Refusal:
    """Tell what an error says of a batch that was sent so many times. What is no broker's refusal is unknown."""
    return _CERTAIN.get(type(error), Refusal.UNKNOWN) if sendings == 1 else Refusal.UNKNOWN


def is_group_refusal(error: BaseException) -> bool:
    """Tell whether a consumer group refuses this process for good: for its name, its rights or its way to share."""
    return isinstance(
        error,
        errors.InconsistentGroupProtocolError
        | errors.GroupAuthorizationFailedError
        | errors.TopicAuthorizationFailedError
        | errors.InvalidGroupIdError
        | errors.InvalidSessionTimeoutError,
    )


class Sendings:
    """Counts how often a batch is sent, by the requests that aiokafka builds with it; one may not have left us."""

    def __init__(self, batch: Any) -> None:
        self.count = 0
        self._build = batch._build
        batch._build = self._built

    def _built(self) -> Any:
        self.count += 1
        return self._build()


def take_back(client: Any, topic_partition: Any, records: int) -> None:
    """Let an idempotent producer number its next batch as if these records, which were refused, had not been sent.

    Nothing else of the partition may be under way. Without it the broker misses their numbers, and refuses all that
    follows, for as long as the producer lives.
    """
    client._txn_manager.increment_sequence_number(topic_partition, -records)
