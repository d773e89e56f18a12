"""What every Kafka client here is kept from."""

import asyncio
from typing import Any, Final

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.admin import ApiVersionRequest

from livecomments.kafka.connection import METADATA_INTERVAL_S, KafkaConnection, Security, pace_metadata
from livecomments.runtime.rotation import Rotated
from tests.consumers.edge import virtually
from tests.consumers.sim.loop import clock, pass_time

_ANSWER_S: Final = 0.001


class Client:
    """Answers where the leaders are, and notes when it was asked."""

    def __init__(self) -> None:
        self.asked_at: list[float] = []

    async def _metadata_update(self, _cluster: Any, _topics: Any) -> bool:
        self.asked_at.append(clock())
        await asyncio.sleep(_ANSWER_S)
        return True


def test_a_client_that_asks_for_leaders_without_a_pause_is_made_to_wait_but_not_the_first_time() -> None:
    async def run() -> None:
        client = Client()
        pace_metadata(client)
        began = clock()
        while clock() < began + 2.0:
            assert await client._metadata_update(None, ())
        assert client.asked_at[0] == began
        assert len(client.asked_at) == round(2.0 / (METADATA_INTERVAL_S + _ANSWER_S)) + 1
        await pass_time(METADATA_INTERVAL_S)
        now = clock()
        await client._metadata_update(None, ())
        assert client.asked_at[-1] == now

    virtually(run)


class AdoptedClient:
    """An AIOKafkaClient, as far as `renew` knows it."""

    _ssl_context: object = None
    _sasl_plain_password: object = None


def test_clients_that_live_and_clients_to_come_connect_by_what_is_new() -> None:
    security = Rotated[Security]({"sasl_plain_password": "before"})
    connection = KafkaConnection("nowhere:1", security)
    client = AdoptedClient()
    connection.adopt(client)
    assert client._sasl_plain_password == "before"
    security.replace({"sasl_plain_password": "after", "ssl_context": "new"})
    assert (client._sasl_plain_password, client._ssl_context) == ("after", "new")
    assert connection.options()["sasl_plain_password"] == "after"


def test_a_client_that_took_long_to_start_is_no_later_than_the_others() -> None:
    security = Rotated[Security]({"sasl_plain_password": "before"})
    connection, client = KafkaConnection("nowhere:1", security), AdoptedClient()
    client._sasl_plain_password = connection.options()["sasl_plain_password"]
    security.replace({"sasl_plain_password": "after"})
    connection.adopt(client)
    assert client._sasl_plain_password == "after"


def test_a_socket_that_has_just_closed_is_a_lost_connection() -> None:
    async def run() -> None:
        served: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _reader, writer: served.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection("127.0.0.1", port)
        connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        connection._read_task = asyncio.ensure_future(connection._reader.read())
        transport = connection._writer.transport
        transport.abort()
        await connection._read_task  # the socket is closed, and aiokafka does not know yet
        with pytest.raises(RuntimeError, match="handler is closed"):
            transport.write(b"as uvloop tells it")
        with pytest.raises(KafkaConnectionError, match=f"127.0.0.1:{port} is lost"):
            connection.send(ApiVersionRequest())
        assert not connection.connected()
        for writer in served:
            writer.close()
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(run(), 10))
