"""What one gateway is told holds on the other: revoked tokens, bans, the end of a video. On a real Kafka."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gateway.on_kafka import Answer, Gateway, serving
from tests.gateway.test_answers import signed
from tests.log.contract import new_topic

pytestmark = [pytest.mark.live, pytest.mark.timeout(120)]

REVOKED_S: Final = 5.0
BANNED_S: Final = 1.0
"""The promises: from the answer to the act, on every gateway."""
OWNER: Final = signed(sub="own", roles=["own"])
MODERATOR: Final = signed(sub="mod", roles=["moderate"])


class Pair:
    """Two gateways, and where they get their knowledge from."""

    def __init__(self, address: str, topic: str, revoked_in: str, directory: Path) -> None:
        self._of = address, topic
        self._revoked_in = revoked_in
        self._directory = directory

    def another(self, name: str) -> Any:
        """One more gateway."""
        return serving(*self._of, self._directory / name, revoked_in=self._revoked_in)


@asynccontextmanager
async def pair(address: str, directory: Path) -> AsyncIterator[tuple[Pair, Gateway, Gateway]]:
    both = Pair(address, await new_topic(address, 1), await new_topic(address, 1), directory)
    async with both.another("1") as one, both.another("2") as other:
        yield both, one, other


async def refused(gateway: Gateway, token: str, within_s: float) -> str:
    """The code of the first refusal, which must come in time."""
    async with asyncio.timeout(within_s):
        while (said := await gateway.post("again", token=token))[0] == 201:
            pass
    return str(said[1]["code"])


async def test_a_token_that_is_revoked_at_one_speaks_at_no_other(kafka_address: str, tmp_path: Path) -> None:
    async with pair(kafka_address, tmp_path) as (both, one, other):
        token, good = signed(jti="leaving"), signed(jti="staying")
        for gateway in (one, other):  # so that both remember it as verified
            assert (await gateway.post("before", token=token))[0] == 201
        assert await one.call("DELETE", "/sessions/current", token) == (204, {})
        assert (await one.post("after", token=token))[1]["code"] == "invalid_token"
        assert await refused(other, token, REVOKED_S) == "invalid_token"
        async with both.another("3") as later:
            assert (await later.post("after", token=token))[1]["code"] == "invalid_token"
            assert (await later.post("hi", token=good))[0] == 201


async def test_who_is_banned_at_one_is_silent_at_all_and_may_write_again_at_all(
    kafka_address: str, tmp_path: Path
) -> None:
    async with pair(kafka_address, tmp_path) as (both, one, other):
        rude = signed(sub="rude")
        for gateway in (one, other):
            assert (await gateway.post("before", token=rude))[0] == 201
        path = "/videos/v/bans/rude"
        assert (await one.call("PUT", f"{path}?deleteLastS=3600", MODERATOR))[0] == 204
        assert await refused(other, rude, BANNED_S) == "banned"
        async with both.another("3") as later:
            assert (await later.post("after", token=rude))[1]["code"] == "banned"
            assert (await later.call("DELETE", path, MODERATOR))[0] == 204
            assert "before" not in await later.messages()
        async with asyncio.timeout(BANNED_S):
            while (await one.post("sorry", token=rude))[0] != 201:
                pass


async def test_after_the_end_nobody_has_written_whichever_gateway_they_asked(
    kafka_address: str, tmp_path: Path
) -> None:
    async with pair(kafka_address, tmp_path) as (_, one, other):
        said, enough = list[Answer](), asyncio.Event()

        async def write(gateway: Gateway, n: int) -> None:
            while not said or said[-1][0] == 201:
                said.append(await gateway.post(f"m{n}"))
                if len(said) > 50:
                    enough.set()

        async with asyncio.TaskGroup() as writing:
            for n in range(16):
                writing.create_task(write((one, other)[n % 2], n))
            await enough.wait()
            answer = await one.call("PUT", "/videos/v", OWNER, {"state": "ended"})
            assert answer[1]["state"] == "ended"
        assert {(status, answer.get("code")) for status, answer in said} == {(201, None), (409, "video_ended")}
        written = sorted(answer["commentId"] for status, answer in said if status == 201)
        for gateway in (one, other):
            assert (await gateway.post("late"))[1]["code"] == "video_ended"
            heard = [comment["commentId"] for comment in await gateway.live(len(written))]
            assert heard == written
