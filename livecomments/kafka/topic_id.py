"""The id of a topic, which aiokafka 0.14 does not ask for: version 10 of the Metadata request (Kafka 2.8).

A topic that is deleted and created again under its name has another id. Nothing else tells for certain: its offsets
begin anew, but may have passed those that were known.
"""

from io import BytesIO
from typing import Any, ClassVar
from uuid import UUID

from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from livecomments.kafka.connection import ask_any

_API_KEY = 3
_VERSION = 10


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka has no types here
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _Described(Response):  # type: ignore[misc]  # aiokafka has no types here
    API_KEY = _API_KEY
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _DescribeStruct(RequestStruct):  # type: ignore[misc]  # aiokafka has no types here
    API_KEY = _API_KEY
    API_VERSION = _VERSION
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE = _Described
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Describe(Request[_DescribeStruct]):  # type: ignore[misc]  # aiokafka has no types here
    API_KEY = _API_KEY

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_DescribeStruct]) -> _DescribeStruct:
        return request_struct_class([(UUID(int=0), self._topic, {})], False, False, False, {})


async def topic_id(client: Any, topic: str) -> str:
    """Return the topic's id, as any broker tells it; always empty with brokers older than 2.8, which have none.

    Args:
        client: a started AIOKafkaClient.
        topic: its name.

    Raises:
        KafkaError: no answer, or no such topic just now.
    """
    try:
        answer = await ask_any(client, _Describe(topic))
    except NotImplementedError:
        return ""
    ((error_code, _, found, *_),) = answer.topics
    if error_code:
        raise for_code(error_code)()
    return str(found)
