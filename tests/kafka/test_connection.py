"""What every Kafka client here is kept from."""

import asyncio
from typing import Any, Final

from livecomments.kafka.connection import METADATA_INTERVAL_S, pace_metadata
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
