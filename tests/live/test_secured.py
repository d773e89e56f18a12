"""Kafka and CQL that want TLS and a password: every client of ours gets in with them, and none without."""

import asyncio
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from chaos.fill import fill
from chaos.pulse import stored_of
from infra.local.ports import free_port
from infra.local.servers import running, why_unavailable
from infra.local.stack import _prepare_schema, _prepare_topics
from livecomments.cql.session import CqlAccess, open_session
from livecomments.log.topics import comments_topic
from livecomments.runtime.settings import PREFIX
from livecomments.runtime.tls import client_context
from livecomments.store.interface import StoreUnavailable
from livecomments_command.assembly.cql import cql_store
from livecomments_command.assembly.kafka import kafka_connection, kafka_log, newest_comments
from livecomments_command.epochs import check_topics
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused
from tests.live.secured import (
    PASSWORD,
    USER,
    Certificates,
    SecuredCassandra,
    add_scram_user,
    make_certificates,
    secured_kafka,
)
from tests.live.stream import START_S, Worker, until
from tests.log.contract import WAIT_S, append_all, poll_until, texts_of
from tests.store.examples import DATACENTER

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ToolSettings]:
    """How to get into a broker of its own, with a user for each mechanism."""
    if reason := why_unavailable():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("secured")
    certificates = make_certificates(directory)
    server, address = secured_kafka(directory / "kafka", certificates, (free_port(), free_port(), free_port()))
    with running(server):
        add_scram_user(server.address)
        settings = ToolSettings(
            kafka=address,
            cql="127.0.0.1:1",
            replicas=1,
            kafka_security="SASL_SSL",
            kafka_user=USER,
            kafka_password=PASSWORD,
            kafka_ca=str(certificates.ca),
        )
        asyncio.run(check_topics(settings, create=True))
        yield settings


@pytest.fixture(scope="module")
def secured_cql(kafka: ToolSettings) -> Iterator[SecuredCassandra]:
    """A Cassandra of its own, with certificates of the same CA."""
    ca = Path(kafka.kafka_ca)
    server = SecuredCassandra(ca.parent / "cassandra", Certificates.in_(ca.parent))
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
        cql_user=secured_cql.user,
        cql_password=secured_cql.password,
        cql_keyspace="local_stack",
    )
    assert await asyncio.to_thread(_prepare_topics, settings) == []
    await asyncio.to_thread(_prepare_schema, settings)
    async with newest_comments(settings) as log, cql_store(settings) as store:
        assert (await stored_of(log, store)).stored == 0
    await fill(settings, 1, lambda _: None)


async def test_all_processes_get_in_and_a_comment_goes_all_its_way(
    kafka: ToolSettings, secured_cql: SecuredCassandra, tmp_path: Path
) -> None:
    (tmp_path / "kafka-password").write_text(PASSWORD + "\n")
    own = {
        "KAFKA": kafka.kafka,
        "KAFKA_SECURITY": "SASL_SSL",
        "KAFKA_CA": kafka.kafka_ca,
        "KAFKA_USER": USER,
        "KAFKA_PASSWORD_FILE": str(tmp_path / "kafka-password"),
        "CQL": secured_cql.address,
        "CQL_TLS": "true",
        "CQL_CA": kafka.kafka_ca,
        "CQL_USER": secured_cql.user,
        "CQL_PASSWORD": secured_cql.password,
        "REPLICAS": "1",
        "SESSION_SECRET": "s" * 32,
        "DATA_DIR": str(tmp_path),
    }
    environ = os.environ | {PREFIX + name: value for name, value in own.items()}
    for command in ("topics", "migrate"):
        ran = [sys.executable, "-m", "livecomments_command", command]
        done = await asyncio.to_thread(subprocess.run, ran, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    ports = {
        name: {"PORT": str(free_port()), "INTERNAL_PORT": str(free_port())} for name in ("gateway", "edge", "stream")
    }
    processes = {
        name: Worker(
            [sys.executable, "-m", "livecomments_command", name],
            environ | {PREFIX + port: value for port, value in of.items()},
            tmp_path / name,
        )
        for name, of in ports.items()
    }
    try:
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as client:
            for process in processes.values():
                await until(lambda: _is_ready(client, process), process.logged, START_S)  # noqa: B023 (awaited here)
            at = f"http://127.0.0.1:{ports['gateway']['PORT']}"
            async with client.post(f"{at}/sessions", json={"displayName": "Ana"}) as answer:
                token = (await answer.json())["sessionToken"]
            headers = {"Authorization": f"Bearer {token}"}
            async with client.post(f"{at}/comments/v", json={"message": "hello"}, headers=headers) as answer:
                assert answer.status == 201, await answer.text()
            await until(lambda: _stored(client, ports["stream"]["INTERNAL_PORT"]), "the comment stored")
            edge = f"http://127.0.0.1:{ports['edge']['PORT']}/comments/v/stream?history=1"
            async with client.get(edge) as stream:
                while b"hello" not in await stream.content.readline():
                    pass
    finally:
        for process in processes.values():
            process.kill()
    for process in processes.values():
        assert PASSWORD not in process.logged


async def _is_ready(client: aiohttp.ClientSession, process: Worker) -> bool:
    assert process.process.poll() is None, process.logged
    try:
        async with client.get(f"{process.internal_url}/healthz/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def _stored(client: aiohttp.ClientSession, port: str) -> bool:
    async with client.get(f"http://127.0.0.1:{port}/metrics") as answer:
        return 'livecomments_stream_records_total{verdict="accepted"} 1.0' in await answer.text()


async def test_the_store_lets_nobody_in_otherwise(kafka: ToolSettings, secured_cql: SecuredCassandra) -> None:
    right = CqlAccess(secured_cql.user, secured_cql.password, client_context("", kafka.kafka_ca))
    for access in (
        right._replace(password="another"),
        right._replace(tls=None),
        right._replace(tls=client_context("", "")),
    ):
        with pytest.raises(StoreUnavailable, match="AuthenticationFailed" if access.password == "another" else None):
            await open_session(secured_cql.address, DATACENTER, request_timeout_s=5.0, access=access)
    assert secured_cql.password not in repr(right)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka_password": "another"},
        {"kafka_user": "nobody"},
        {"kafka_ca": ""},
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
