"""Kafka and CQL that want TLS and a password: every client of ours gets in with them, and none without."""

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.fill import fill
from chaos.pulse import stored_of
from infra.local.ports import free_port
from infra.local.servers import KafkaServer, running, why_unavailable
from infra.local.stack import _prepare_schema, _prepare_topics
from livecomments.cql.session import open_session
from livecomments.log.topics import comments_topic
from livecomments.runtime.rotation import Rotated
from livecomments.runtime.tls import client_context
from livecomments.store.interface import StoreUnavailable
from livecomments_command.assembly.cql import cql_store
from livecomments_command.assembly.kafka import kafka_connection, kafka_log, newest_comments
from livecomments_command.epochs import check_topics
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from tests.live.rotating import GATEWAYS, NEW, OLD, Secrets, rotated_stack
from tests.live.secured import (
    PASSWORD,
    USER,
    Authority,
    Certificates,
    SecuredCassandra,
    make_certificates,
    plain_login,
    secured_kafka,
    set_scram_password,
)
from tests.log.contract import WAIT_S, append_all, poll_until, texts_of
from tests.store.examples import DATACENTER

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def next_authority() -> Authority:
    """Whose certificates come later."""
    return Authority("next CA")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory, next_authority: Authority) -> Certificates:
    """Those of servers and clients, of a CA that is not the next one, which servers know already."""
    return make_certificates(tmp_path_factory.mktemp("secured"), also_trusted=[next_authority])


@pytest.fixture(scope="module")
def broker(certificates: Certificates) -> Iterator[tuple[KafkaServer, str]]:
    """A broker of its own, with a user for each mechanism, and its secured address."""
    if reason := why_unavailable():
        pytest.skip(reason)
    ports = (free_port(), free_port(), free_port())
    server, address = secured_kafka(certificates.directory / "kafka", certificates, ports)
    with running(server):
        set_scram_password(server.address, PASSWORD)
        yield server, address


@pytest.fixture(scope="module")
def kafka(broker: tuple[KafkaServer, str], certificates: Certificates) -> ToolSettings:
    """How to get into the broker."""
    settings = ToolSettings(
        kafka=broker[1],
        cql="127.0.0.1:1",
        replicas=1,
        kafka_security="SASL_SSL",
        kafka_user=USER,
        kafka_password=PASSWORD,
        kafka_ca=str(certificates.ca),
        kafka_certificate=str(certificates.certificate),
        kafka_key=str(certificates.key),
    )
    asyncio.run(check_topics(settings, create=True))
    return settings


@pytest.fixture(scope="module")
def secured_cql(certificates: Certificates) -> Iterator[SecuredCassandra]:
    """A Cassandra of its own, with certificates of the same CA."""
    server = SecuredCassandra(certificates.directory / "cassandra", certificates)
    with running(server):
        yield server


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_writer_and_readers_get_in(kafka: ToolSettings, mechanism: str) -> None:
    settings = changed(kafka, kafka_mechanism=mechanism)
    async with newest_comments(settings) as log:
        (offset,) = await append_all(log, 0, [mechanism])
        reader = log.follow()
        reader.assign({0: offset})
        assert texts_of(await poll_until(reader, 1)) == [mechanism]
        assert texts_of((await log.read(0, offset, offset + 1, 1)).records) == [mechanism]
        assert await log.identity()
    assert await check_topics(settings, create=False) == ([], [], [])


async def test_a_local_stack_prepares_and_measures_what_it_is_given(
    kafka: ToolSettings, secured_cql: SecuredCassandra
) -> None:
    settings = changed(
        kafka,
        topic_prefix="stack-",  # another test counts the comments of its topic
        cql=secured_cql.address,
        cql_tls=True,
        cql_ca=kafka.kafka_ca,
        cql_certificate=kafka.kafka_certificate,
        cql_key=kafka.kafka_key,
        cql_user=secured_cql.user,
        cql_password=secured_cql.password,
        cql_keyspace="local_stack",
    )
    assert await asyncio.to_thread(_prepare_topics, settings) == []
    await asyncio.to_thread(_prepare_schema, settings)
    async with newest_comments(settings) as log, cql_store(settings) as store:
        assert (await stored_of(log, store)).stored == 0
    await fill(settings, 1, lambda _: None)


async def test_the_store_lets_nobody_in_otherwise(secured_cql: SecuredCassandra, certificates: Certificates) -> None:
    right = secured_cql.access()
    for access in (
        right._replace(password="another"),
        right._replace(tls=None),
        right._replace(tls=client_context("", "")),
        right._replace(tls=client_context("", str(certificates.ca))),
    ):
        with pytest.raises(StoreUnavailable, match="AuthenticationFailed" if access.password == "another" else None):
            await open_session(secured_cql.address, DATACENTER, request_timeout_s=5.0, access=Rotated(access))
    assert secured_cql.password not in repr(right)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka_password": "another"},
        {"kafka_user": "nobody"},
        {"kafka_ca": ""},
        {"kafka_certificate": "", "kafka_key": ""},
        {"kafka_security": "SASL_PLAINTEXT", "kafka_ca": ""},
        {"kafka_security": "PLAINTEXT", "kafka_ca": "", "kafka_user": "", "kafka_password": ""},
    ],
)
async def test_nobody_gets_in_otherwise(
    kafka: ToolSettings, wrong: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    log = kafka_log(changed(kafka, **wrong), comments_topic(1))
    log._connect_timeout_s = 1.0
    with pytest.raises(StartRefused, match="did not answer") as refused:
        async with asyncio.timeout(WAIT_S):
            await log.__aenter__()
    assert PASSWORD not in str(refused.value) + caplog.text


def test_a_file_without_certificates_is_refused(kafka: ToolSettings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificates")
    for name in ("ca.pem", "missing.pem"):
        with pytest.raises(StartRefused, match="LIVECOMMENTS_KAFKA_CA="):
            kafka_connection(changed(kafka, kafka_ca=str(tmp_path / name)))


def changed(settings: ToolSettings, **values: Any) -> ToolSettings:
    return dataclasses.replace(settings, **values)


async def test_all_is_rotated_under_load_and_nobody_notices(
    kafka: ToolSettings,
    broker: tuple[KafkaServer, str],
    secured_cql: SecuredCassandra,
    certificates: Certificates,
    next_authority: Authority,
    tmp_path: Path,
) -> None:
    """The last of this file: it leaves the servers with other certificates and passwords."""
    server, _ = broker
    files = Secrets(tmp_path, kafka=PASSWORD, cql=secured_cql.password)
    at = changed(kafka, cql=secured_cql.address, cql_user=secured_cql.user)
    async with rotated_stack(at, certificates, files, tmp_path) as stack:
        for lines in ([OLD, NEW], [NEW, OLD], [NEW]):
            for gateway in GATEWAYS:
                files.sign(gateway, lines)
                await stack.rotated("session_secret", [gateway])
                await stack.load.written(20)
            if lines[0] is NEW:
                await stack.load.renew()
        await asyncio.to_thread(set_scram_password, server.address, "another-hunter3", ["SCRAM-SHA-512"])
        files.set("kafka", "another-hunter3")
        await stack.rotated("kafka")
        await stack.connected_anew(int(kafka.kafka.rpartition(":")[2]))
        await stack.load.written(50)
        assert stack.load.statuses.keys() == {201}, stack.load.report()  # until here no server was away
        await asyncio.to_thread(secured_cql.change_password, "another-hunter4")
        files.set("cql", "another-hunter4")
        await stack.rotated("cql")
        next_authority.write_clients(certificates, beside=certificates.ca.read_bytes())
        await stack.rotated("kafka")
        await stack.rotated("cql")
        next_authority.write_servers(certificates, [next_authority])
        server._settings |= plain_login("another-hunter3")
        for one in (server, secured_cql):  # what was open breaks, and only what is new gets in again
            await asyncio.to_thread(restart, one)
            await stack.load.written(50)
        await stack.end()
    assert stack.load.statuses.keys() <= {201, 503}, stack.load.statuses
    print(stack.load.report())
    for secret in (PASSWORD, "another-hunter3", "another-hunter4", OLD, NEW, *stack.load.secrets()):
        assert secret not in stack.logged
    assert all(line.startswith("{") for line in stack.logged.splitlines()), stack.logged


def restart(server: KafkaServer | SecuredCassandra) -> None:
    server.stop()
    server.start()
    server.wait_ready()
