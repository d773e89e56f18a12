"""What the job is given of what Faust delivers, and what Faust is told by: the rest needs a Kafka (`tests/live`)."""

import ssl
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
from faust.types import TP

from livecomments.kafka.connection import KafkaConnection, Security
from livecomments.kafka.leaders import Leaders
from livecomments.runtime.rotation import Rotated
from livecomments_schemas.events import Record
from livecomments_streams.faust_polls import Poll
from livecomments_streams.faust_runner import FaustRunner, make_faust_app
from tests.kafka.test_leaders import PLACE, batch, fetch


class Noting:
    """Takes what the job would, and events' acks; in which order."""

    def __init__(self) -> None:
        self.calls: list[object] = []

    async def take(self, records: Sequence[Record], led_anew: AbstractSet[int] = frozenset()) -> None:
        self.calls.append(([record.offset for record in records], set(led_anew)))

    def ack(self) -> None:
        self.calls.append("acked")


class Delivered:
    """A stream of these polls, as the agent is given it."""

    def __init__(self, polls: Sequence[Poll], noting: Noting) -> None:
        self._polls = polls
        self._noting = noting

    def noack(self) -> "Delivered":
        return self

    async def events(self) -> AsyncIterator[Any]:
        for poll in self._polls:
            yield SimpleNamespace(message=poll, ack=self._noting.ack)


async def test_a_poll_is_acked_once_all_of_it_is_stored_and_the_job_hears_which_partitions_have_another_leader(
    tmp_path: Path,
) -> None:
    leaders, noting, place = Leaders(), Noting(), TP(*PLACE)
    polls = []
    for leader, offset in ((5, 0), (6, 1)):
        fetch(leaders, offset, batch(leader))
        polls.append(Poll({place: [Record(place.partition, offset, b"v", b"", {}, 0)]}, 1, leaders))
    job: Any = noting
    runner = FaustRunner(KafkaConnection("nowhere:1"), "group", PLACE.topic, job, tmp_path)
    await runner._persist(Delivered(polls, noting))
    assert noting.calls == [([0], set()), "acked", ([1], {place.partition}), "acked"]


async def test_faust_connects_as_the_others_do_by_password_by_certificate_or_by_neither(tmp_path: Path) -> None:
    tls = ssl.create_default_context()
    sasl = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "job", "sasl_plain_password": "secret"}

    def credentials(security: Security) -> Any:
        return make_faust_app(KafkaConnection("a:1, b:2", Rotated(security)), "group", tmp_path).conf.broker_credentials

    assert credentials({}) is None
    by_certificate = credentials({"ssl_context": tls})
    assert isinstance(by_certificate, faust.SSLCredentials)
    assert by_certificate.context is tls
    for context in (None, tls):
        by_password = credentials({**sasl, "ssl_context": context} if context else sasl)
        assert isinstance(by_password, faust.SASLCredentials)
        assert (by_password.username, by_password.password) == ("job", "secret")
        assert by_password.mechanism.value == "SCRAM-SHA-512"
        assert by_password.ssl_context is context


async def test_what_is_new_of_the_password_is_what_faust_connects_by_next(tmp_path: Path) -> None:
    security = Rotated[Security](
        {"sasl_mechanism": "PLAIN", "sasl_plain_username": "job", "sasl_plain_password": "before"}
    )
    job: Any = Noting()
    runner = FaustRunner(KafkaConnection("nowhere:1", security), "group", PLACE.topic, job, tmp_path)
    security.replace({**security.now, "sasl_plain_password": "after"})
    assert runner._app.conf.broker_credentials.password == "after"
