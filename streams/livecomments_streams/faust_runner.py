"""The Faust runner: takes records in a consumer group and drives the job. Only it and `faust_polls` know Faust.

Faust's stock patterns lose acknowledged records: `take` acks a batch when its body is left, also by an exception or a
cancellation, and a decoding error kills its drainer in silence. So nothing is decoded here, the body acks by itself and
lets nothing out, and where it cannot go on the process dies before it acks; what was not acked is delivered again.

Faust can also stop by itself (a commit that fails for good marks the whole app as crashed) and stay in the group,
holding its partitions. The runner watches for that, and for a group that delivers nothing, and dies of it too.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

import faust
from faust.types import TP

from livecomments.kafka.connection import KafkaConnection, Security, renew
from livecomments.kafka.refusals import is_group_refusal
from livecomments.runtime.metrics import Reading
from livecomments_schemas.errors import EXIT_TRY_AGAIN, StartAgain, StartRefused, leaves_of
from livecomments_streams.faust_polls import PollConsumer, WholePolls
from livecomments_streams.job import Job

_TAKE_MAX: Final = 2_000
"""Records of one poll, and so of one take. More join more rows of a video to one write, and are more to judge in one
go, some 20 ms, and to do again after a crash. There are three polls at a time: one is stored, one queues, one waits to
queue; of the largest records our writers make, 16 KiB, these are 96 MiB."""
_FETCH_BYTES: Final = 512 * 1_024
"""Of a partition at once: with 64 partitions 32 MiB fetched ahead."""
_SESSION_TIMEOUT_S: Final = 10.0
"""After a worker was killed its partitions go on elsewhere this much later. Faust's own default is a minute."""
_STOP_TIMEOUT_S: Final = 8.0
"""For what is under way to be stored and acked. With the store away it never is, and dying is as safe."""
_LAST_WATERMARKS_S: Final = 1.0
"""After that, for the next worker to begin here. Without them it stores a second's records again."""
_WATCH_INTERVAL_S: Final = 1.0

EXIT_REFUSED: Final = 2
EXIT_BUG: Final = 70
"""What BSD's sysexits calls EX_SOFTWARE."""

T = TypeVar("T")

_log = logging.getLogger("livecomments.stream")
_commit_age = Reading("livecomments_stream_commit_age_seconds", "Since the group's offsets moved; 0 with none to move.")


class FaustRunner:
    """Drives `job` with the records of `topic` in the consumer group `group`. Made inside a running event loop.

    Args:
        connection: where Kafka is, and how it is spoken to.
        data_dir: Faust wants a directory; nothing is kept there.
    """

    def __init__(self, connection: KafkaConnection, group: str, topic: str, job: Job, data_dir: Path) -> None:
        self._job = job
        self.goes_on = False
        """Stopped, the process begins anew and does not end: its topic is of an epoch that is over."""
        self._topic = topic
        self._app = make_faust_app(connection, group, data_dir)
        connection.security.lend(self, FaustRunner._renew)
        self._app.agent(raw_topic(self._app, topic), name="persist")(self._persist)
        self._app.on_partitions_assigned.connect(self._on_assigned)
        self._app.on_partitions_revoked.connect(self._on_revoked)

    async def run(
        self, told_to_stop: asyncio.Event, started: Callable[[], None], beside: Sequence[Awaitable[object]] = ()
    ) -> NoReturn:
        """Persist until told to stop, with `beside` running, then end the process: Faust's threads may outlive it.

        The exit code is 0 when everything that was taken is stored and committed.
        """
        self._tasks = [asyncio.ensure_future(_or_die(work)) for work in (self._job.run(), self._watch(), *beside)]
        stopping = asyncio.ensure_future(told_to_stop.wait())
        _log.info("joining")
        self._job.revoke()  # the wait for the store was not the group's
        starting = asyncio.ensure_future(_or_die(self._app.start()))
        await asyncio.wait([stopping, starting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            started()
            ending = asyncio.ensure_future(self._app.wait_until_stopped())
            await asyncio.wait([stopping, ending], return_when=asyncio.FIRST_COMPLETED)
        if not told_to_stop.is_set():
            die(EXIT_BUG, f"Faust gave up: {self._app.crash_reason!r}. What was not acked is delivered again.")
        _log.info("told to stop")
        # Not wait_for: mode swallows the cancellation that would end it.
        stopped, _ = await asyncio.wait([asyncio.ensure_future(_or_die(self._app.stop()))], timeout=_STOP_TIMEOUT_S)
        if not stopped:
            die(EXIT_TRY_AGAIN, "Stopped before all that was taken could be stored; it is delivered again.")
        await asyncio.wait([asyncio.ensure_future(self._job.advance_watermarks())], timeout=_LAST_WATERMARKS_S)
        if self.goes_on:
            _log.info("begins anew")
            _begin_anew()
        _log.info("gone")
        die(0, "")

    async def _persist(self, stream: Any) -> None:
        async for event in stream.noack().events():
            await _or_die(self._job.take(event.message.records, event.message.led_anew))
            event.ack()

    def _renew(self, security: Security) -> None:
        """Have Faust open its next connections by this, those of clients that it will make too."""
        self._app.conf.broker_credentials = _credentials(security)
        consumer = getattr(self._app.consumer, "kafka_consumer", None)
        producer = getattr(self._app.producer, "_producer", None)
        for client in (getattr(consumer, "_client", None), getattr(producer, "client", None)):
            if client is not None:
                renew(client, security)

    async def _on_assigned(self, _: Any, assigned: Iterable[TP], **__: Any) -> None:
        self._job.give(one.partition for one in assigned if one.topic == self._topic)

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        self._job.revoke()

    async def _watch(self) -> None:
        """Tell how old the commits are, and die of a group that refuses us, or delivers nothing."""
        committed_before, since = 0, time.monotonic()
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            now = time.monotonic()
            committed = self._app.monitor.tp_committed_offsets
            waiting = [
                number
                for number, following in self._job.delivered.items()
                if committed.get(TP(self._topic, number), 0) < following
            ]
            if not waiting or sum(committed.values()) != committed_before:
                committed_before, since = sum(committed.values()), now
            if self._job.progress.is_joined:
                _commit_age.set(now - since)
            else:
                _commit_age.forget()
            if (error := self._app.consumer.group_error) is not None:
                _die_of_the_group(str(self._app.conf.id), error)
            if self._job.progress.is_stuck(now):
                die(EXIT_TRY_AGAIN, "The consumer group delivers nothing, though the log goes on.")


def make_faust_app(connection: KafkaConnection, group: str, data_dir: Path) -> faust.App:
    """Make a Faust app without agents, to run in the running event loop. Every setting is there for a reason."""
    data_dir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        group,
        broker=[f"kafka://{address.strip()}" for address in connection.addresses.split(",")],
        broker_credentials=_credentials(connection.security.now),
        loop=asyncio.get_running_loop(),
        datadir=str(data_dir),
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        stream_wait_empty=True,  # False acks what is under way when the worker is told to stop
        stream_buffer_maxsize=1,  # polls
        broker_commit_interval=1.0,
        broker_session_timeout=_SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_SESSION_TIMEOUT_S / 4,
        broker_request_timeout=40.0,  # Faust refuses less than the session timeout
        broker_max_poll_interval=86_400.0,  # a store that is away for hours must not cost the partitions
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=_TAKE_MAX,
        consumer_max_fetch_size=_FETCH_BYTES,
        consumer_metadata_max_age_ms=10_000,
        ConsumerScheduler=WholePolls,
    )
    app.transport.Consumer = PollConsumer
    return app


def _credentials(security: Security) -> faust.auth.Credentials | None:
    """Return the security of a connection as Faust's credentials; None for plaintext."""
    tls = security.get("ssl_context")
    if "sasl_mechanism" in security:
        user, password = security["sasl_plain_username"], security["sasl_plain_password"]
        return faust.SASLCredentials(
            username=user, password=password, mechanism=security["sasl_mechanism"], ssl_context=tls
        )
    return faust.SSLCredentials(tls) if tls is not None else None


def raw_topic(app: faust.App, topic: str) -> Any:
    """Return the topic, of which nothing is decoded: what Faust cannot decode would end its consumption in silence."""
    return app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


def die(code: int, sentence: str) -> NoReturn:
    """End the process now, with a sentence for the operator. Nothing is acked, flushed or closed any more."""
    if sentence and sys.__stderr__:
        sys.__stderr__.write(f"livecomments: {sentence}\n")
        sys.__stderr__.flush()
    os._exit(code)


def _begin_anew() -> NoReturn:
    """Become a new process of the same command, in place of this one: Faust changes no topics while it runs."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - what we were started with


def _die_of_the_group(group: str, error: Exception) -> NoReturn:
    if is_group_refusal(error):
        reason = f"The group {group} refuses this process: {error}. "
        die(
            EXIT_REFUSED,
            reason + "Is another program of its name, or may this one not be in it? See LIVECOMMENTS_GROUP.",
        )
    die(EXIT_TRY_AGAIN, f"The group {group} cannot be joined: {error!r}.")


async def _or_die(work: Awaitable[T]) -> T:
    """Await `work`. Whatever it raises ends the process: whoever let it out would have Faust ack what is not stored."""
    try:
        return await work
    except asyncio.CancelledError:
        die(EXIT_TRY_AGAIN, "Stopped in the middle of storing; what was taken is delivered again.")
    except BaseException as error:
        leaves = leaves_of(error)
        if refused := next((leaf for leaf in leaves if isinstance(leaf, StartRefused)), None):
            die(EXIT_REFUSED, str(refused))
        if again := next((leaf for leaf in leaves if isinstance(leaf, StartAgain)), None):
            die(EXIT_TRY_AGAIN, str(again))
        _log.critical("unhandled error", exc_info=True)
        die(EXIT_BUG, f"A bug ended the job: {leaves[0]!r}. What was not acked is delivered again.")
