"""No token and no text of a comment is ever logged, whatever the level and whatever goes wrong."""

import asyncio
import logging
import re
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from livecomments.runtime.logs import JsonFormatter
from livecomments_gateway.calls import CALLS
from tests.gateway.test_answers import JWT, signed
from tests.served import served

CANARY: Final = "canary7f3e"
LEVELS: Final = (5, logging.DEBUG)
"""5 is uvicorn's trace level, which tells each message of ASGI."""

SAID: Final = dict.fromkeys(("message", "displayName", "title", "reason", CANARY), CANARY)
GARBAGE: Final = tuple(
    part.replace("CANARY", CANARY).encode() + b"\r\n\r\n"
    for part in (
        "GET /CANARY HTTP/9.9",
        "CANARY / HTTP/1.1\r\nhost: CANARY CANARY",
        "GET /CANARY HTTP/1.1\r\nhost: x\r\nauthorization: Bearer\0CANARY",
        "GET / HTTP/1.1\r\nhost: x\r\nx: " + "CANARY" * 4_000,
        "POST /comments/v HTTP/1.1\r\nhost: x\r\ncontent-length: CANARY",
    )
)
"""Heads that are none."""


@pytest.mark.parametrize("level", LEVELS)
async def test_no_canary_sings(tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int) -> None:
    for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        caplog.set_level(level, logger=name)
    async with served(tmp_path, **JWT) as running:
        session = await running.token(f"Ana {CANARY}")
        moderator = signed(sub=f"moderator {CANARY}", roles=["moderate", "own"])
        tokens = [
            session,
            moderator,
            signed(sub=CANARY),
            signed(sub=CANARY, secret="t" * 64),
            f"lcs_{CANARY}.AAAA",
            CANARY,
        ]
        bodies = [
            f'{{"message":"{CANARY}"}}',
            f'{{"message":"{CANARY}',
            f'{{"message":["{CANARY}"]}}',
            f'{{"message":"{CANARY}\\u0000"}}',
            f'{{"message":"{CANARY * 300}"}}',
        ]
        for token in tokens:
            for body in bodies:
                headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
                headers["Idempotency-Key"] = CANARY
                async with running.client.post("/comments/v", data=BytesIO(body.encode()), headers=headers) as answer:
                    assert answer.status < 500
        for path in (f"/comments/{CANARY}%20?cursor={CANARY}", f"/comments/v/stream?after={CANARY}", f"/{CANARY}"):
            async with running.client.get(path, headers={"Authorization": f"Bearer {session}"}) as answer:
                assert answer.status < 500
        for call in CALLS:
            path = re.sub(r"{\w+}", CANARY, call.path.replace("{videoId}", "v"))
            for token in (session, moderator):
                headers = {"Authorization": f"Bearer {token}", "X-Request-Id": f"{CANARY} {CANARY}"}
                async with running.client.request(call.method, path, json=SAID, headers=headers) as answer:
                    assert answer.status < 500, path
        for garbage in GARBAGE:
            assert await raw_answer(running.url, garbage) in (b"400", b"404", b"431", b"505"), garbage
    assert caplog.records
    lines = [JsonFormatter().format(record) for record in caplog.records]
    secrets = (CANARY, *tokens)
    assert [line for line in lines if any(secret in line for secret in secrets)] == []


async def raw_answer(url: str, head: bytes) -> bytes:
    """The status of the answer to bytes that are no request."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head)
        return (await reader.readline()).split()[1]
    finally:
        writer.close()
