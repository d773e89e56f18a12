"""The corpus through load balancers: whatever they make of a message, no request hidden in it ever reaches us."""

import asyncio
from pathlib import Path
from shutil import which
from typing import Any, Final

import pytest

from infra.local.balancer import Balancer, HaProxy, Nginx
from tests.corpus.messages import all_vectors
from tests.web.echo import echoing, said

ANSWER_S: Final = 1.5
"""Balancers wait for the rest of some; nothing hangs on their answers here."""
AT_ONCE: Final = 16
RIGHT: Final = [vector for vector in all_vectors() if not vector.refusals]
"""Behind one that is wrong, a balancer that repairs it rightly sees another request; in one of these there is none."""


class WebSocketNginx(Nginx):
    """With the usual lines for WebSockets, which pass offers of an upgrade on."""

    def configuration(self, *arguments: Any) -> str:
        text = super().configuration(*arguments)
        line = '        proxy_set_header Connection "";\n'
        assert line in text
        passed = (
            "        proxy_set_header Upgrade $http_upgrade;\n        proxy_set_header Connection $http_connection;\n"
        )
        return text.replace(line, passed)


@pytest.mark.parametrize("kind", [HaProxy, Nginx, WebSocketNginx])
async def test_no_request_hidden_in_a_message_is_served_behind_a_load_balancer(
    kind: type[Balancer], tmp_path: Path
) -> None:
    if which(kind.program) is None:
        pytest.skip(f"No {kind.program} here: apt-get install {kind.program}")
    async with echoing() as (echo, port):
        ports = [{"client": port, "internal": port}]
        balancer = kind(tmp_path / "balancer", port=None, gateways=lambda: ports, edges=lambda: ports)
        await asyncio.to_thread(balancer.start)
        await asyncio.to_thread(balancer.wait_ready)
        turns = asyncio.Semaphore(AT_ONCE)

        async def play(raw: bytes) -> bytes:
            async with turns:
                return await said(balancer.ports["client"], raw, timeout_s=ANSWER_S)

        try:
            answers = await asyncio.gather(*(play(vector.raw) for vector in RIGHT))
        finally:
            await asyncio.to_thread(balancer.kill)
    paths = [one.path for one in echo.reached]
    assert "/hidden" not in paths
    assert paths.count("/first") > len(answers) / 2, "most of them came through"
