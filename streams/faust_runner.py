"""The Faust runner: takes records in a consumer group and drives the job. The only module that knows Faust.

Faust's stock patterns lose acknowledged records: `take` acks a batch when its body is left, also by an exception or a
cancellation, and a decoding error kills its drainer in silence. So the values stay raw bytes, the body lets nothing
out, and where it cannot go on the process dies before the batch can be acked; what was not acked is delivered again.
"""

import logging
import os
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import faust

from schemas.events import Record
from streams.job import Job

_TAKE_MAX: Final = 1_000
"""Records of one take: larger ones win when they spread over many videos, since rows are joined by bucket."""
_TAKE_WITHIN_S: Final = 0.05
_SESSION_TIMEOUT_S: Final = 10.0
"""After a worker was killed its partitions go on elsewhere this much later. Faust's own default is a minute."""
EXIT_LEFT_THE_BODY: Final = 70

_log = logging.getLogger("livecomments.stream")


def make_faust_app(addresses: str, group: str, topic: str, job: Job, data_dir: Path, loop: Any) -> faust.App:
    """A Faust app whose one agent hands every batch of `topic` to `job`. Start it in `loop`.

    `addresses`: Kafka bootstrap servers, comma-separated. `data_dir`: Faust wants a directory; nothing is kept there.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        group,
        broker=[f"kafka://{address.strip()}" for address in addresses.split(",")],
        loop=loop,
        datadir=str(data_dir),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=True,  # False acks what is under way when the worker is told to stop
        stream_buffer_maxsize=4 * _TAKE_MAX,
        broker_commit_interval=1.0,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_SESSION_TIMEOUT_S / 4,
        broker_request_timeout=40.0,  # Faust refuses less than the session timeout
        broker_max_poll_interval=86_400.0,  # a store that is away for hours must not cost the partitions
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=10_000,
    )
    source = app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    async def persist(stream: Any) -> None:
        async for events in stream.take_events(_TAKE_MAX, within=_TAKE_WITHIN_S):
            try:
                await job.take([record_of(event.message) for event in events])
            except BaseException:  # also CancelledError: leaving this frame would ack the batch
                sys.__stderr__ and sys.__stderr__.write(traceback.format_exc())
                os._exit(EXIT_LEFT_THE_BODY)

    app.agent(source, name="persist")(persist)
    return app


def record_of(message: Any) -> Record:
    """A Faust message as a record. Of a header that stands twice the last counts, as in `KafkaLog`."""
    pairs = message.headers.items() if isinstance(message.headers, Mapping) else message.headers or ()
    headers = {name: value for name, value in pairs if value is not None}
    return Record(message.partition, message.offset, message.key, message.value, headers, int(message.timestamp * 1000))
