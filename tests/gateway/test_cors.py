"""Which other sites' pages may read our answers."""

from itertools import product
from pathlib import Path
from typing import Final

import pytest

from livecomments.runtime.shared_settings import PublicSettings
from livecomments.web.cors import CorsRules
from tests.served import served
from tests.web.echo import said

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
        assert allowed >= {"authorization", "content-type", "idempotency-key", "idempotency-after", "last-event-id"}
        assert allowed >= {
            "if-none-match",
            "cache-control",
            "x-requested-with",
            "traceparent",
            "tracestate",
            "baggage",
            "sentry-trace",
        }
        assert "DELETE" in answer.headers["Access-Control-Allow-Methods"]


async def test_a_preflight_may_name_headers_on_several_lines(tmp_path: Path) -> None:
    asked = [("Origin", SITE), ("Access-Control-Request-Method", "POST")]
    asked.extend([("Access-Control-Request-Headers", "x-a"), ("Access-Control-Request-Headers", "x-b")])
    async with (
        served(tmp_path, cors_origins=SITE) as running,
        running.client.options("/comments/v", headers=asked) as answer,
    ):
        assert answer.headers["Access-Control-Allow-Headers"].endswith(", x-a, x-b")


@pytest.mark.parametrize(
    "asked", [b"x-b3-traceid", b"dpr,viewport-width , x-a", b"a\r\nx: y", b"", b"a b", b"x" * 9_000]
)
def test_a_preflight_is_given_any_header_it_asks_for_and_nothing_that_is_no_header(asked: bytes) -> None:
    said = dict(CorsRules([SITE]).preflight(SITE.encode(), asked))[b"access-control-allow-headers"]
    assert said.endswith(b", " + asked if asked.startswith((b"x-", b"dpr")) else b", sentry-trace")
    assert CorsRules([SITE]).preflight(b"https://evil.example", asked) == ((b"vary", b"origin"),)


async def test_a_page_may_read_every_header_of_an_answer(tmp_path: Path) -> None:
    safe = {"cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"}
    beside = {"vary", "connection", "x-content-type-options", "content-security-policy", "content-encoding"}
    paths = ("/comments/v", "/comments/v?pageSize=0", "/nothing", "/videos/v", "/openapi.json", "/", "/page/page.js")
    async with served(tmp_path, cors_origins=SITE) as running:
        for path, method in product(paths, ("GET", "POST", "PATCH", "DELETE")):
            async with running.client.request(method, path, headers={"Origin": SITE}) as answer:
                exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].lower().split(",")}
                said = {name.lower() for name in answer.headers if not name.lower().startswith("access-control-")}
                assert said <= safe | beside | exposed


@pytest.mark.parametrize(
    "raw", [b"GET / HTTP/1.1\r\nOrigin: %b\r\n\r\n", b"GET / HTTP/2.0\r\nOrigin:%b\r\nX: \0\r\n\r\n"]
)
async def test_a_page_reads_why_its_request_is_none(tmp_path: Path, raw: bytes) -> None:
    async with served(tmp_path, cors_origins=SITE) as running:
        port = int(running.url.rpartition(":")[2])
        assert b"\r\naccess-control-allow-origin: https://site.example\r\n" in await said(port, raw % SITE.encode())
        assert b"access-control-allow-origin" not in await said(port, raw % b"https://evil.example")


APPS: Final = [
    "capacitor://localhost",
    "ionic://localhost",
    "tauri://localhost",
    "app://.",
    "chrome-extension://abcdef",
]


@pytest.mark.parametrize(
    "origin", [*APPS, "moz-extension://1b-2c", "http://tauri.localhost", "http://a_b.example:8080"]
)
async def test_the_web_view_of_an_app_is_an_origin_like_any_other(tmp_path: Path, origin: str) -> None:
    assert not PublicSettings(cors_origins=origin).problems()
    async with (
        served(tmp_path, cors_origins=origin) as running,
        running.client.get("/comments/v", headers={"Origin": origin}) as answer,
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == origin


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


@pytest.mark.parametrize(
    "origins",
    [
        "*",
        "null",
        "site.example",
        "https://*.site.example",
        "https://site.example/x",
        "https://A.b",
        "file://x",
        "x://*",
    ],
)
def test_a_list_that_is_not_exact_is_refused_at_start(origins: str) -> None:
    assert any("CORS_ORIGINS" in problem for problem in PublicSettings(cors_origins=origins).problems())
