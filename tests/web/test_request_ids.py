"""Each error says what its request is called, in the answer and in the log."""

import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
from starlette.requests import Request

from livecomments.web.problems import answer_error
from tests.served import Served, served

NEW: Final = re.compile("[0-9a-f]{16}")


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as deployment:
        yield deployment


async def told(running: Served, path: str, sent: str | None) -> str:
    """What a request that is refused is called, by body and header alike."""
    headers = {} if sent is None else {"X-Request-Id": sent}
    async with running.client.get(path, headers=headers) as answer:
        assert answer.status >= 400
        named = (await answer.json())["requestId"]
        assert answer.headers["X-Request-Id"] == named
        return str(named)


@pytest.mark.parametrize(
    "path",
    ["/comments/v?cursor=no", "/comments/v/stream?after=no", "/nothing", "/sessions"],
    ids=["gateway", "edge", "no path", "no method"],
)
async def test_a_request_is_called_as_it_says_or_anew(running: Served, path: str) -> None:
    assert await told(running, path, "0197-Ab") == "0197-Ab"
    assert await told(running, path, "a" * 64) == "a" * 64
    token = await running.token()
    for sent in (None, "", "a" * 65, "a b", "a.b", "\u00e9", token):
        assert NEW.fullmatch(await told(running, path, sent))
    assert await told(running, path, None) != await told(running, path, None)


async def test_our_own_error_is_logged_with_it(caplog: pytest.LogCaptureFixture) -> None:
    request = Request({"type": "http", "headers": [(b"x-request-id", b"0197-ab")]})
    with caplog.at_level(logging.ERROR):
        answer = answer_error(request, ValueError("ours"))
    assert json.loads(bytes(answer.body))["requestId"] == "0197-ab"
    (record,) = caplog.records
    assert vars(record)["request_id"] == "0197-ab"
