"""A deleted text leaves the recommended caches within ten seconds, and a browser's behind them: by their own clocks."""

import asyncio
import re
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from infra.local.caches import CACHES
from infra.local.ports import HOST, free_port
from livecomments_consumers.protocol import CHUNK_LIFE, END_LIFE
from tests.infra.crowds import cache_before
from tests.served import served

GONE_WITHIN_S: Final = 10.0
HEARD_LATE_S: Final = 1.0
"""Of a delete, by an edge."""
ROUNDED_S: Final = 1.0
"""Caches count whole seconds."""
WITHIN_S: Final = 300.0
STEP_S: Final = 0.05


@pytest.mark.parametrize("life", [CHUNK_LIFE, END_LIFE])
def test_the_lifetimes_of_shared_caches_and_of_a_browsers_add_up_to_less(life: str) -> None:
    said = dict(part.strip().partition("=")[::2] for part in life.split(","))
    assert set(said) == {"public", "max-age", "s-maxage"}, "nothing may be given when it is stale"
    assert HEARD_LATE_S + ROUNDED_S + int(said["s-maxage"]) + int(said["max-age"]) <= GONE_WITHIN_S


@pytest.mark.parametrize("program", CACHES)
async def test_a_deleted_text_is_given_only_for_as_long_as_it_was_kept(program: str, tmp_path: Path) -> None:
    port, secret = free_port(), "a secret"
    async with served(tmp_path / "data") as running, asyncio.timeout(WITHIN_S):
        edge = int(running.url.rpartition(":")[2])
        token = await running.token()
        own = {"Authorization": f"Bearer {token}"}
        before, deleted = [(await running.post("v", text, token))[1]["commentId"] for text in ("before", secret)]
        url = f"/streams/v?live=long-poll&offset={before}"
        with cache_before(program, tmp_path / program, port, (edge, edge)):
            async with aiohttp.ClientSession(f"http://{HOST}:{port}") as client:

                async def read(within: aiohttp.ClientSession, more: str = "") -> tuple[bool, float]:
                    """Whether it shows the text, and when that was, by the clock of who answers."""
                    async with within.get(url + more) as answer:
                        assert re.search(r"max-age=0(,|$)", answer.headers["Cache-Control"]), "a browser would keep it"
                        at = parsedate_to_datetime(answer.headers["Date"]).timestamp()
                        return secret in await answer.text(), at + float(answer.headers.get("Age", "0"))

                rarely = "&cursor=1"
                assert (await read(client, rarely))[0]
                is_shown, first = await read(client)
                assert is_shown
                async with running.client.delete(f"/comments/v/{deleted}", headers=own) as answer:
                    assert answer.status == 204
                while (await read(running.client))[0]:  # noqa: ASYNC110 - an edge hears of it by the log
                    await asyncio.sleep(STEP_S)
                last = first
                while is_shown:
                    is_shown, at = await read(client)
                    last = at if is_shown else last
                    await asyncio.sleep(STEP_S)
                assert not (await read(client))[0], "it came back"
                assert not (await read(client, rarely))[0], "the first who asks for it again is given what is too old"
    assert 0 <= last - first <= GONE_WITHIN_S - HEARD_LATE_S, "both by clocks of whole seconds"
