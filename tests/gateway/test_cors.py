"""Which other sites' pages may read our answers."""

from pathlib import Path
from typing import Final

import pytest

from livecomments.runtime.shared_settings import PublicSettings
from livecomments.web.cors import CorsRules
from tests.served import served

SITE: Final = "https://site.example"
PREFLIGHT: Final = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "last-event-id"}
FOREIGN: Final = [
    "https://site.example.evil.example",
    "https://evil-site.example",
    "https://a.site.example",
    "http://site.example",
    "https://site.example:8443",
    "https://SITE.example",
    "https://site.example/",
    "https://user@site.example",
    "null",
    "*",
    "",
]


async def test_a_page_of_an_allowed_origin_reads_answers_refusals_and_streams(tmp_path: Path) -> None:
    async with served(tmp_path, cors_origins=f"https://other.example, {SITE}") as running:
        for path, status in (("/comments/v", 200), ("/comments/v?pageSize=0", 400), ("/comments/v/stream", 200)):
            async with running.client.get(path, headers={"Origin": SITE}) as answer:
                assert answer.status == status
                assert answer.headers.getall("Access-Control-Allow-Origin") == [SITE]
                assert "origin" in answer.headers.getall("Vary")
                assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_preflight_allows_what_clients_send(tmp_path: Path) -> None:
    async with (
        served(tmp_path, cors_origins=SITE) as running,
        running.client.options("/comments/v/stream", headers={"Origin": SITE} | PREFLIGHT) as answer,
    ):
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        allowed = {name.strip() for name in answer.headers["Access-Control-Allow-Headers"].lower().split(",")}
        assert allowed == {"authorization", "content-type", "idempotency-key", "idempotency-after", "last-event-id"}
        assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_no_other_origin_is_ever_told_yes(tmp_path: Path, origin: str) -> None:
    async with served(tmp_path, cors_origins=SITE) as running:
        for method, more in (("GET", {}), ("OPTIONS", PREFLIGHT)):
            async with running.client.request(method, "/comments/v", headers={"Origin": origin} | more) as answer:
                assert "Access-Control-Allow-Origin" not in answer.headers
                assert answer.headers["Vary"] == "origin"


async def test_without_origins_nothing_is_said_of_them(tmp_path: Path) -> None:
    async with (
        served(tmp_path) as running,
        running.client.get("/comments/v", headers={"Origin": SITE}) as answer,
    ):
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]
        assert CorsRules().headers(SITE.encode()) == ()


@pytest.mark.parametrize("origins", ["*", "null", "site.example", "https://*.site.example", "https://site.example/x"])
def test_a_list_that_is_not_exact_is_refused_at_start(origins: str) -> None:
    assert any("CORS_ORIGINS" in problem for problem in PublicSettings(cors_origins=origins).problems())
