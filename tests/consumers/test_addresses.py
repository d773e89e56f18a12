"""How many streams one address may have open."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from livecomments_consumers.addresses import Addresses
from tests.consumers.streams import Stream, counted
from tests.served import served

BOUND_S = 20.0


@pytest.mark.parametrize("lane", ["transport", "asgi"])
async def test_one_address_opens_no_more_than_its_streams_whatever_the_videos(tmp_path: Path, lane: str) -> None:
    before = counted("connections_total", result="address_full")
    headers = [("X", n) for n in "12"] if lane == "asgi" else []
    async with (
        served(tmp_path, viewers_per_address_max=3) as running,
        aiohttp.ClientSession(running.url) as fresh,
        asyncio.timeout(BOUND_S),
    ):
        opened = [await fresh.get(f"/comments/v{n}/stream", headers=headers) for n in range(3)]
        for answer in opened:
            await Stream(answer).next(b"heartbeat")
        for n in range(3, 20):
            async with fresh.get(f"/comments/v{n}/stream", headers=headers) as answer:
                assert answer.status == 200
                assert "\nretry: " in await answer.text()
        assert counted("connections_total", result="address_full") == before + 17
        assert len(running.service.hub._channels) == 3
        opened[0].close()
        while True:  # the place is free once it was noticed
            async with fresh.get("/comments/v/stream", headers=headers) as answer:
                if b"event: begin" in await answer.content.readany():
                    break
        for answer in opened:
            answer.close()


def test_an_address_of_version_6_is_its_network_and_what_nobody_uses_is_forgotten() -> None:
    addresses = Addresses(2)
    for address in ("2001:db8::1", "2001:db8:0:0:ffff::2"):
        addresses.enter(address)
    assert addresses.is_full("2001:db8::3")
    assert not addresses.is_full("2001:db8:0:1::3")
    assert not addresses.is_full("::ffff:192.0.2.1")
    addresses.enter("::ffff:192.0.2.1")
    addresses.enter("192.0.2.1")
    assert addresses.is_full("192.0.2.1")
    assert not addresses.is_full("::ffff:192.0.2.2")
    for address in ("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.1"):
        addresses.leave(address)
    assert not addresses._streams


def test_without_a_bound_nothing_is_counted() -> None:
    addresses = Addresses(0)
    addresses.enter("192.0.2.1")
    assert not addresses.is_full("192.0.2.1")
    assert not addresses._streams
