"""Whose stream it is: a token by header or cookie, never by address; a session that ends takes its streams with it."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

import aiohttp
import orjson
import pytest

from livecomments.log.revocations import Revocations, RevocationsUnavailable
from livecomments.log.session_names import SESSION_COOKIE, session_name
from livecomments_consumers.lane import Lane
from livecomments_consumers.sessions import Sessions, TokenInUrlRejected, check_names, session_of
from tests.consumers.edge import virtually
from tests.consumers.sim.edge import SimRevocations
from tests.consumers.streams import Stream, counted, stream_of
from tests.served import Served, served

BOUND_S: Final = 20.0
BY: Final[dict[str, Callable[[str], dict[str, str]]]] = {
    "header": lambda token: {"Authorization": f"Bearer {token}"},
    "cookie": lambda token: {"Cookie": f"theme=dark; {SESSION_COOKIE}={token}"},
}


async def end_session(running: Served, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with running.client.delete("/sessions/current", headers=headers) as answer:
        assert answer.status == 204


@pytest.mark.parametrize("lane", ["transport", "asgi"])
@pytest.mark.parametrize("by", BY)
async def test_a_session_that_ends_takes_its_streams_with_it_and_nobody_elses(
    tmp_path: Path, by: str, lane: str
) -> None:
    before = counted("lanes_total", lane=lane), counted("disconnects_total", reason="revoked")
    async with served(tmp_path) as running, asyncio.timeout(BOUND_S):
        mine, other = await running.token("Ana"), await running.token("Ben")
        # The fast lane leaves alone whatever is unusual, such as a header that comes twice.
        headers = [*BY[by](mine).items(), *(("X", n) for n in "12" if lane == "asgi")]
        async with (
            aiohttp.ClientSession(running.url) as fresh,
            fresh.get("/comments/v/stream", headers=headers) as answer,
            fresh.get("/comments/v/stream", headers=BY[by](other)) as others_answer,
            stream_of(fresh, "v") as anonymous,
        ):
            stream, others = Stream(answer), Stream(others_answer)
            for each in (stream, others, anonymous):
                await each.next(b"heartbeat")
            assert counted("lanes_total", lane=lane) == before[0] + (1 if lane == "asgi" else 3)
            await end_session(running, mine)
            bye = await stream.next(b"bye")
            assert orjson.loads(bye.data or b"") == {"reason": "revoked"}
            with pytest.raises(EOFError):
                await stream.next()
            _, comment = await running.post("v", "still here", other)
            assert await others.ids(1) == await anonymous.ids(1) == [comment["commentId"]]
        async with running.client.get("/comments/v/stream", headers=headers) as answer:
            assert answer.status == 401  # final: it would come back for ever
            assert (await answer.json())["code"] == "invalid_token"
        assert counted("disconnects_total", reason="revoked") == before[1] + 1
        assert not {session_name(mine)} & running.service.hub.sessions._lanes.keys()


@pytest.mark.parametrize("name", ["token", "access_token", "sessionToken", "Authorization", "jwt"])
async def test_a_token_in_the_address_is_refused_and_said_why(tmp_path: Path, name: str) -> None:
    async with (
        served(tmp_path) as running,
        running.client.get("/comments/v/stream", params={name: "secret-canary"}) as answer,
    ):
        body = await answer.text()
        assert answer.status == 400
        assert orjson.loads(body)["code"] == "token_in_url"
        assert "secret-canary" not in body


async def test_a_token_that_nobody_revoked_is_not_judged_here(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        for authorization in ("Bearer nonsense", "Basic abc", "Bearer", "Bearer " + "x" * 9_000):
            async with running.client.get("/comments/v/stream", headers={"Authorization": authorization}) as answer:
                await Stream(answer).next(b"heartbeat")


def test_a_header_goes_before_a_cookie_and_other_cookies_say_nothing() -> None:
    assert session_of("Bearer a", f"{SESSION_COOKIE}=b") == session_name("a")
    for one_or_more in ("bearer a", "BEARER a", "Bearer  a", "Bearer     a"):
        assert session_of(one_or_more, "") == session_name("a")
    assert session_of("Basic a", f"x=1;{SESSION_COOKIE}=b; y=2") == session_name("b")
    assert session_of("", f"not_{SESSION_COOKIE}=b; {SESSION_COOKIE}x=b; {SESSION_COOKIE}") == b""


def test_other_parameters_are_no_tokens() -> None:
    check_names(["after", "history", "tokens", ""])
    with pytest.raises(TokenInUrlRejected):
        check_names(["after", "TOKEN"])


class Seat:
    """As much of a lane as a session needs."""

    def __init__(self, session: bytes) -> None:
        self.session = session


def test_what_is_still_being_read_of_the_revocations_ends_streams_when_it_is() -> None:
    class Unread(SimRevocations):
        def is_revoked(self, digest: bytes) -> bool:
            raise RevocationsUnavailable("still reading")

    revocations = Unread()
    ended: list[Lane] = []
    sessions = Sessions(cast(Revocations, revocations), ended.append)
    mine, other, anonymous = (cast(Lane, Seat(session)) for session in (b"mine", b"other", b""))
    for lane in (mine, other, anonymous):
        assert not sessions.is_revoked(lane.session)
        sessions.add(lane)
    for listener in revocations.listeners:
        listener(b"mine")
        listener(b"nobody's")
        listener(b"")
    assert ended == [mine]
    for lane in (mine, other, anonymous):
        sessions.remove(lane)
    assert not sessions._lanes


def test_a_session_that_ended_while_its_stream_waited_to_begin_takes_it_with_it() -> None:
    async def run() -> None:
        revocations = SimRevocations()
        ended: list[Lane] = []
        sessions = Sessions(cast(Revocations, revocations), ended.append)
        revocations.revoke(b"mine")
        sessions.add(lane := cast(Lane, Seat(b"mine")))
        assert ended == [lane]

    virtually(run)
