"""Which stream requests are served, refused, or sent away for a moment; and by which lane."""

from pathlib import Path
from typing import Final

import pytest

from livecomments.runtime.cors import NO_CORS, CorsRules
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


def test_an_origin_is_compared_whole() -> None:
    rules = CorsRules([SITE])
    assert dict(rules.headers(SITE.encode()))[b"access-control-allow-origin"] == SITE.encode()
    for other in (b"https://site.example.evil", b"HTTPS://site.example", b"null", b"", None):
        assert rules.headers(other) == ((b"vary", b"origin"),)
    assert NO_CORS.headers(SITE.encode()) == ()
