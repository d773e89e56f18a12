"""The corpus through load balancers, which mark each request that they pass on: whatever reaches us has such a mark.

So no request is ever read out of another's body: the balancer would not have seen it, nor marked it. Of messages that
are wrong nothing less is claimed, since a balancer may repair one, and then rightly see another request behind it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import which
from typing import Any, Final

import pytest

from infra.local.balancer import Balancer, HaProxy, Nginx
from livecomments_schemas.limits import TOKEN_BYTES_MAX
from tests.corpus.messages import NEXT, Vector, all_vectors, first
from tests.web.echo import Echo, Reached, echoing, said

ANSWER_S: Final = 1.5
"""Balancers wait for the rest of some; nothing hangs on their answers here."""
PATIENCE_S: Final = 20.0
AT_ONCE: Final = 32
MARK: Final = "x-passed-on"
OWN: Final = ("/", "/healthz/ready", "/internal/routing")
"""What balancers ask for by themselves."""


class MarkingNginx(Nginx):
    """Without the usual lines for WebSockets."""

    def configuration(self, *arguments: Any) -> str:
        return _with(
            super().configuration(*arguments), "        listen ", f"        proxy_set_header {MARK} $request_id;\n"
        )


class WebSocketNginx(MarkingNginx):
    """With them, which pass offers of an upgrade on."""

    def configuration(self, *arguments: Any) -> str:
        text = super().configuration(*arguments)
        line = '        proxy_set_header Connection "";\n'
        assert line in text
        passed = (
            "        proxy_set_header Upgrade $http_upgrade;\n        proxy_set_header Connection $http_connection;\n"
        )
        return text.replace(line, passed)


class MarkingHaProxy(HaProxy):
    """As recommended."""

    def configuration(self, *arguments: Any) -> str:
        return _with(super().configuration(*arguments), "    bind ", f"    http-request set-header {MARK} %[uuid()]\n")


def _with(text: str, beginning: str, line: str) -> str:
    """The configuration with `line` before the first that begins so."""
    assert "\n" + beginning in text
    return text.replace("\n" + beginning, "\n" + line + beginning, 1)


def with_own_paths(vector: Vector, number: int) -> bytes:
    """The message, the request that is hidden in it called as no other is."""
    return vector.raw.replace(b"/hidden", b"/h%05d" % number)


def smuggled(reached: list[Reached]) -> list[str]:
    """The paths of requests that nobody has passed on."""
    return [one.path for one in reached if MARK not in one.headers]


@asynccontextmanager
async def _balanced(kind: type[Balancer], folder: Path) -> AsyncIterator[tuple[Echo, int]]:
    """The application behind a balancer, and that one's port."""
    if which(kind.program) is None:
        pytest.skip(f"No {kind.program} here: apt-get install {kind.program}")
    async with echoing() as (echo, port):
        ports = [{"client": port, "internal": port}]
        balancer = kind(folder, port=None, gateways=lambda: ports, edges=lambda: ports)
        await asyncio.to_thread(balancer.start)
        await asyncio.to_thread(balancer.wait_ready)
        try:
            yield echo, balancer.ports["client"]
        finally:
            await asyncio.to_thread(balancer.kill)


@pytest.mark.parametrize("kind", [MarkingHaProxy, MarkingNginx, WebSocketNginx])
async def test_no_request_hidden_in_a_message_is_served_behind_a_load_balancer(
    kind: type[Balancer], tmp_path: Path
) -> None:
    vectors = all_vectors()
    async with _balanced(kind, tmp_path / "balancer") as (echo, port):
        turns = asyncio.Semaphore(AT_ONCE)

        async def play(raw: bytes) -> bytes:
            async with turns:
                return await said(port, raw, timeout_s=ANSWER_S)

        await asyncio.gather(*(play(with_own_paths(vector, number)) for number, vector in enumerate(vectors)))
    reached = [one for one in echo.reached if one.path not in OWN]
    numbers = [int(path.removeprefix("/h")) for path in smuggled(reached) if path.startswith("/h")]
    assert not smuggled(reached), [vectors[number].name for number in numbers]
    paths = {one.path for one in reached}
    right = [number for number, vector in enumerate(vectors) if not vector.refusals]
    assert not [vectors[number] for number in right if f"/h{number:05d}" in paths], "there is none in these"
    assert sum(one.path == "/first" for one in reached) > len(right) / 2, "most of them came through"


@pytest.mark.parametrize("kind", [HaProxy, Nginx])
async def test_what_a_gateway_takes_is_passed_on_by_a_load_balancer_too(kind: type[Balancer], tmp_path: Path) -> None:
    token = b"Authorization: " + b"a" * TOKEN_BYTES_MAX
    post = first(b"Content-Length: 5", b"Connection: close") + b"hello"
    old = b"GET /old HTTP/1.0\r\n\r\n"  # it names no host
    async with _balanced(kind, tmp_path / "balancer") as (echo, port):
        for raw, half_closes in ((first(token, method=b"GET") + NEXT, False), (post, True), (old, False)):
            answer = await said(port, raw, timeout_s=PATIENCE_S, half_closes=half_closes)
            assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 ")), raw[:90]
    assert [one.path for one in echo.reached if one.path not in OWN] == ["/first", "/next", "/first", "/old"]


async def test_a_request_that_was_not_passed_on_is_told_from_one_that_was() -> None:
    async with echoing() as (echo, port):
        await said(port, first(MARK.encode() + b": 1", method=b"GET") + NEXT)
    assert smuggled(echo.reached) == ["/next"]
