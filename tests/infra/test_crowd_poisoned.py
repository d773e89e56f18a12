"""What one asks of a recommended cache changes nothing of what it gives to others: real programs, raw bytes."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from infra.local.caches import CACHES
from infra.local.ports import HOST, free_port
from livecomments.log.session_names import SESSION_COOKIE
from tests.infra.crowds import cache_before
from tests.served import Served, served

WITHIN_S: Final = 300.0
CROWD: Final = 200
TRIES_MAX: Final = 12
"""Requests that a crowd may be for edges that have no room; some ask again, and there are two edges."""


class Raw(NamedTuple):
    """An answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


class Odd(NamedTuple):
    """A request that one makes whom nobody knows."""

    target: str
    lines: tuple[str, ...] = ()
    method: str = "GET"
    body: bytes = b""
    version: str = "1.1"


async def ask(port: int, target: str, *lines: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> Raw:
    """One request on a connection of its own; nothing of it is put right."""
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        named = () if any(line.lower().startswith("host:") for line in lines) else ("Host: h",)
        head = "\r\n".join([f"{method} {target} HTTP/{version}", *named, *lines, "Connection: close", "", ""])
        writer.write(head.encode("latin-1") + body)
        said = await reader.read()
    finally:
        writer.close()
    first, _, rest = said.partition(b"\r\n\r\n")
    status, *fields = first.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return Raw(int(status.split()[1]) if status else 0, headers, _whole(headers, rest))


def _whole(headers: dict[str, str], body: bytes) -> bytes:
    """The body without the frames of its chunks."""
    if headers.get("transfer-encoding") != "chunked":
        return body
    return b"".join(re.findall(rb"[0-9a-f]+\r\n(.+?)\r\n", body, re.DOTALL))


@asynccontextmanager
async def behind(program: str, directory: Path, **settings: Any) -> AsyncIterator[tuple[Served, int, int]]:
    """A service, and the ports of an edge and of the cache before it."""
    port = free_port()
    async with served(directory / "data", **settings) as running:
        edge = int(running.url.rpartition(":")[2])
        with cache_before(program, directory / program, port, (edge, edge)):
            async with asyncio.timeout(WITHIN_S):
                yield running, edge, port


VICTIMS: Final = {
    "the beginning": "?cursor={n}&offset=-1",
    "the beginning, unsaid": "?cursor={n}",
    "the end": "?cursor={n}&offset={last}",
}
ADDRESSES: Final = (
    "/streams/v?{q}&%6Fffset={other}",
    "/streams/v?%6Fffset={other}&{q}",
    "/streams/v?cursor={n}&%6Fffset={other}",
    "/streams/v?cursor={n}&offset+={other}",
    "/streams/v?{q}&%6Cive=long-poll",
    "/streams/v?{q}&live=sse",
    "/streams/v?{q}&l%69ve=sse",
    "/streams/v?{q}&LIVE=long-poll",
    "/streams/v?{q}&live=",
    "/streams/v?{q}&live",
    "/streams/v?OFFSET={other}&{q}",
    "/streams/v?cursor={n}&Offset={other}",
    "/streams/v?offset={other}&{q}",
    "/streams/v?{q}&offset={other}",
    "/streams/v?offset=&{q}",
    "/streams/v?offset&{q}",
    "/streams/v?{q}&offset=",
    "/streams/v?x=1;offset={other}&{q}",
    "/streams/v?{q};offset={other}",
    "/streams/v?{q}&cursor=1",
    "/streams/v?cursor=0{n}&offset=-1",
    "/streams/v?{q}&token=x",
    "/streams/v?{q}#&offset={other}",
    "/streams/v#?offset={other}&{q}",
    "/streams/v?{q}%00",
    "/streams/v?{q}&x=%0d%0aX-Y:%20z",
    "/streams/v?{q}&" + "&".join(f"p{n}=1" for n in range(200)),
    "/streams/v?{q}&x=" + "a" * 6_000,
    "/streams/w/../v?{q}",
    "/streams/w%2F..%2Fv?{q}",
    "/streams/./v?{q}",
    "//streams/v?{q}",
    "/streams//v?{q}",
    "/x/../streams/v?{q}",
    "/streams/v/?{q}",
    "/streams/v%3F{q}",
    "/streams/v%20?{q}",
    "/streams/w?{q}",
    "/streams/W/..;/v?{q}",
)
"""In place of `/streams/v?{q}`; `other` is another place."""
UNLIKELY: Final = (
    "/streams/v?offset={other}&cursor=" + "9" * 15,
    "/streams/v?offset={other}&cursor=" + "9" * 5_000,
    "/streams/v?offset={other}&cursor=-1",
    "/streams/v?offset={other}&cursor=1e9",
    "/streams/v?offset={other}&cursor=%D9%A3",
    "/streams/v?offset=" + "0" * 5_000,
    "/streams/v?offset=%00",
    "/streams/v?offset=%FF%FE",
    "/streams/v?offset=\x80",
    "/streams/v?offset=now&live=true",
    "/streams/v?live=long-poll",
    "/streams/v?offset=zzzzzzzzzzzzzzzz",
    "/streams/v?offset=0000000000000000",
    "/streams/v?offset=7777777777777777&live=long-poll",
    "/streams/v?offset=-2",
    "/streams/v?offset=NOW",
    "/streams/" + "v" * 65,
    "/streams/",
    "/streams/..",
    "/streams/%2e%2e",
    "/streams/v%00",
    "/streams/\x80",
    "/streams/v?" + "&" * 9_000,
    "/streams/v?" + "=&" * 5_000,
    "/streams/v?" + "offset=-1&" * 60,
    "/streams/v?" + "%6f" * 4_000,
    "/streams/v?" + "x" * 20_000,
)
"""What is refused, or harmless, by itself."""
HEADERS: Final = (
    "Range: bytes=0-3",
    "Range: bytes=99999-",
    "If-None-Match: *",
    'If-Match: "x"',
    "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
    'If-Range: "x"',
    "Accept-Encoding: gzip, br",
    "Accept: text/event-stream",
    "Origin: https://evil.example",
    "Host: evil.example",
    "Host: evil.example:1",
    "Authorization: Bearer x",
    "Authorization:",
    f"Cookie: {SESSION_COOKIE}=x",
    "Cookie: " + "a" * 7_000,
    "X-Much: " + "a" * 7_000 + "\r\nX-More: " + "a" * 7_000 + "\r\nX-Most: " + "a" * 7_000,
    "\r\n".join(f"X-{n}: 1" for n in range(60)),
    "\r\n".join(f"X-{n}: 1" for n in range(150)),
    "X-Odd: a\tb\x80",
    "X-HTTP-Method-Override: DELETE",
    "X-Original-URL: /streams/w",
    "X-Rewrite-URL: /streams/w",
    "X-Forwarded-Host: evil.example",
    "X-Forwarded-For: 1.2.3.4, junk",
    "Forwarded: for=junk",
    "Forwarded: host=evil.example",
    "Last-Event-ID: junk",
    "LiveComments-Route: 1/2/3",
    "traceparent: junk",
    "Expect: junk",
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Cache-Control: no-cache",
    "Cache-Control: only-if-cached",
    "Pragma: no-cache",
    "TE: trailers, deflate",
    "Connection: close, Host, Authorization",
    "Content-Type: application/json",
)


@pytest.mark.parametrize("program", CACHES)
async def test_whatever_one_asks_the_next_one_is_given_what_an_edge_gives(program: str, tmp_path: Path) -> None:
    async with behind(program, tmp_path) as (running, edge, port):
        token = await running.token()
        ids = [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(5)]
        wanted = {
            kind: _of(await ask(edge, f"/streams/v{victim.format(n=7, last=ids[-1])}"))
            for kind, victim in VICTIMS.items()
        }
        wrong: dict[str, Any] = {}
        for number, shape in enumerate(_asked()):
            for at, (kind, victim) in enumerate(VICTIMS.items()):
                query = victim.format(n=number * len(VICTIMS) + at, last=ids[-1])
                target = shape.target.replace("?{q}", query)
                odd = shape._replace(target=target.format(q=query[1:], n=number * len(VICTIMS) + at, other=ids[2]))
                # Some of it waits: nobody else is to wait for that.
                first = asyncio.create_task(
                    ask(port, odd.target, *odd.lines, method=odd.method, body=odd.body, version=odd.version)
                )
                await asyncio.wait([first], timeout=0.3)
                found = _of(await ask(port, f"/streams/v{query}"))
                first.cancel()
                await asyncio.wait([first])
                if found != wanted[kind]:
                    wrong[f"{kind}: {odd}"[:300]] = found
        assert wrong == {}


async def test_what_is_wrong_an_edge_refuses_and_lets_nobody_keep(tmp_path: Path) -> None:
    """As it is asked by a cache that hands on whatever it is sent."""
    async with served(tmp_path / "data") as running, asyncio.timeout(WITHIN_S):
        edge = int(running.url.rpartition(":")[2])
        token = await running.token()
        ids = [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(5)]
        wrong: dict[str, Any] = {}
        for shape in (*_asked(), *map(Odd, UNLIKELY)):
            odd = shape._replace(target=shape.target.format(q="cursor=1&offset=-1", n=1, other=ids[2]))
            if "live=sse" in odd.target:
                continue
            answer = await ask(edge, odd.target, *odd.lines, method=odd.method, body=odd.body, version=odd.version)
            life = answer.headers.get("cache-control", "")
            if answer.status >= 500 or not (
                "no-store" in life or (answer.status in (200, 304) and "max-age=0" in life)
            ):
                wrong[str(odd)[:300]] = (answer.status, life)
        assert wrong == {}


def _of(answer: Raw) -> tuple[int, str | None, bytes]:
    """What everybody is given alike."""
    return answer.status, answer.headers.get("stream-next-offset"), answer.body


def _asked() -> list[Odd]:
    plain = "/streams/v?{q}"
    return [
        *(Odd(address) for address in ADDRESSES),
        *(Odd(plain, (line,)) for line in HEADERS),
        *(Odd(plain, method=method) for method in ("HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PURGE", "get")),
        Odd(plain, ("Content-Length: 3",), body=b"abc"),
        Odd(plain, ("Content-Length: 0",)),
        Odd(plain, ("Transfer-Encoding: chunked",), body=b"3\r\nabc\r\n0\r\n\r\n"),
        Odd(plain, version="1.0"),
        Odd("http://evil.example" + plain),
    ]


@pytest.mark.parametrize("program", CACHES)
async def test_who_has_a_cookie_or_parameters_of_his_own_shares_what_all_share(program: str, tmp_path: Path) -> None:
    """A viewer of the site's own pages always sends it. What an edge answers to a session it lets nobody keep."""
    queries = ("offset=-1&live=long-poll", "live=long-poll&offset=-1", "utm_x={n}&offset=-1&cursor=&live=long-poll&y")
    async with behind(program, tmp_path) as (running, _, port):
        token = await running.token()
        await running.post("v", "hi", token)
        before = running.service.hub.metrics.delivered
        for n in range(6):
            query = queries[n % len(queries)].format(n=n)
            found = await ask(port, f"/streams/v?{query}", f"Cookie: {SESSION_COOKIE}={token}", f"Host: h{n}")
            assert (found.status, "s-maxage" in found.headers["cache-control"]) == (200, True)
    assert running.service.hub.metrics.delivered - before <= 2, "each asked an edge"


@pytest.mark.parametrize("program", CACHES)
async def test_head_tells_the_end_and_a_preflight_is_the_edges_to_answer(program: str, tmp_path: Path) -> None:
    async with behind(program, tmp_path, cors_origins="https://a.example") as (running, edge, port):
        token = await running.token()
        for text in ("one", "two"):
            await running.post("v", text, token)
            told = await ask(port, "/streams/v", method="HEAD")
            end = await ask(edge, "/streams/v", method="HEAD")
            assert (told.status, told.body) == (200, b"")
            for name in ("stream-next-offset", "cache-control", "etag"):
                assert told.headers.get(name) == end.headers.get(name)
        url = f"http://{HOST}:{port}/streams/v?offset=-1"
        wants = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
        async with aiohttp.ClientSession() as client:
            for origin, may in (("https://a.example", True), ("https://b.example", False)):
                async with client.options(url, headers={"Origin": origin, **wants}) as answer:
                    assert answer.headers.getall("Access-Control-Allow-Origin") == ["*"]
                    assert ("Access-Control-Allow-Headers" in answer.headers) == may


async def test_a_crowd_behind_varnish_does_not_run_into_edges_that_have_no_room(tmp_path: Path) -> None:
    """Behind nginx they ask one after the other, which its lock does by itself."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 503 Full\r\nCache-Control: no-store\r\nRetry-After: 2\r\nConnection: close\r\n\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(refuse, HOST, 0) as server, asyncio.timeout(WITHIN_S):
        edge = server.sockets[0].getsockname()[1]
        with cache_before("varnishd", tmp_path / "varnish", port, (edge, edge)):
            answers = await asyncio.gather(*(ask(port, "/streams/v?live=long-poll&offset=-1") for _ in range(CROWD)))
    assert {answer.status for answer in answers} == {503}
    assert {answer.headers.get("retry-after") for answer in answers} == {"2"}
    assert len(asked) <= TRIES_MAX
