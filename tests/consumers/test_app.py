"""Which stream requests are served, refused, or sent away for a moment; and by which lane."""

import socket
from pathlib import Path
from typing import Final

import pytest

from livecomments.web.cors import NO_CORS, CorsRules
from livecomments.web.door import Door
from livecomments_consumers.transport_lane import TransportLane
from tests.consumers.streams import Stream, counted
from tests.served import served

SITE: Final = "https://site.example"


@pytest.mark.parametrize("origin", [SITE, "https://evil.example", None])
async def test_a_page_of_any_site_is_served_by_the_fast_lane_and_the_answer_says_who_may_read_it(
    tmp_path: Path, origin: str | None
) -> None:
    before = counted("lanes_total", lane="transport")
    async with (
        served(tmp_path, cors_origins=f"https://other.example,{SITE}") as running,
        running.client.get("/comments/v/stream", headers={"Origin": origin} if origin else {}) as answer,
    ):
        await Stream(answer).next(b"heartbeat")
        assert counted("lanes_total", lane="transport") == before + 1
        assert answer.headers.getall("Access-Control-Allow-Origin", []) == ([SITE] if origin == SITE else [])
        assert answer.headers.getall("Vary") == ["accept-encoding", "origin"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


OF_ONE_ANSWER = ("Date", "X-Request-ID")


async def test_a_head_says_what_a_get_would_and_no_length_where_that_has_none(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        for path in ("/comments/v/stream", "/comments/v", "/", "/nothing"):
            said = []
            for method in ("GET", "HEAD"):
                async with running.client.request(method, path, headers={"Accept-Encoding": "identity"}) as answer:
                    said.append({name: value for name, value in answer.headers.items() if name not in OF_ONE_ANSWER})
            given, told = said
            framed = {"Transfer-Encoding": "chunked", "Connection": "close"}
            assert given == told | (framed if path.endswith("stream") else {})


def test_an_origin_is_compared_whole() -> None:
    rules = CorsRules([SITE])
    assert dict(rules.headers(SITE.encode()))[b"access-control-allow-origin"] == SITE.encode()
    for other in (b"https://site.example.evil", b"HTTPS://site.example", b"null", b"", None):
        assert rules.headers(other) == ((b"vary", b"origin"),)
    assert NO_CORS.headers(SITE.encode()) == ()


@pytest.mark.parametrize("lane", ["transport", "asgi"])
async def test_what_a_viewers_connection_costs_the_kernel_and_how_long_a_dead_one_lasts_is_bounded(
    tmp_path: Path, lane: str
) -> None:
    headers = [("X", n) for n in "12"] if lane == "asgi" else []
    async with served(tmp_path) as running, running.client.get("/comments/v/stream", headers=headers) as answer:
        await Stream(answer).next(b"heartbeat")
        (viewer,) = running.service.hub._channels["v"].lanes
        assert viewer.kind == lane
        held = [one._transport for one in running.server.server_state.connections if isinstance(one, Door)]
        transport = viewer._transport if isinstance(viewer, TransportLane) else held[0]
        accepted = transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 2 * 65_536
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * 65_536
        assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
