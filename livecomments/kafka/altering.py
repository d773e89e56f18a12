"""Setting one setting of a topic and leaving the others, which aiokafka 0.14 cannot: IncrementalAlterConfigs.

Its `alter_configs` resets whatever it is not given.
"""

from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from livecomments.kafka.connection import KafkaConnection, ask_any
from livecomments.log.interface import LogUnavailable

_API_KEY: Final = 44
_TOPIC: Final = 2
"""The kind of resource."""
_SET: Final = 0


class _Altered(Response):  # type: ignore[misc]  # aiokafka has no types here
    API_KEY = _API_KEY
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _AlterStruct(RequestStruct):  # type: ignore[misc]  # aiokafka has no types here
    API_KEY = _API_KEY
    API_VERSION = 0
    RESPONSE_TYPE = _Altered
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                ("configs", Array(("name", String("utf-8")), ("operation", Int8), ("value", String("utf-8")))),
            ),
        ),
        ("validate_only", Boolean),
    )


class _Alter(Request[_AlterStruct]):  # type: ignore[misc]  # aiokafka has no types here
    API_KEY = _API_KEY

    def __init__(self, topic: str, name: str, value: str) -> None:
        self._resources = [(_TOPIC, topic, [(name, _SET, value)])]

    def build(self, request_struct_class: type[_AlterStruct]) -> _AlterStruct:
        return request_struct_class(self._resources, False)


async def alter_topic(connection: KafkaConnection, topic: str, name: str, value: str) -> None:
    """Set one setting of a topic. Brokers hear of it a moment later.

    Raises:
        LogUnavailable: Kafka does not answer, or refuses; with its reason.
    """
    admin: Any = AIOKafkaAdminClient(**connection.options())
    try:
        await admin.start()
        answer = await ask_any(admin._client, _Alter(topic, name, value))
    except (KafkaError, TimeoutError, OSError, NotImplementedError) as error:
        raise LogUnavailable(f"Kafka at {connection.addresses} does not set {name}: {error!r}.") from error
    finally:
        await admin.close()
    for code, reason, _, _ in answer.resources:
        if code:
            raise LogUnavailable(f"Kafka does not set {name} of {topic}: {reason or for_code(code).__name__}.")
