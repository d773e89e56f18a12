"""No token and no text of a comment is ever logged, whatever the level and whatever goes wrong."""

import logging
from io import BytesIO
from pathlib import Path
from typing import Final

import pytest

from livecomments.runtime.logs import JsonFormatter
from tests.gateway.test_answers import JWT, signed
from tests.served import served

CANARY: Final = "canary7f3e"
LEVELS: Final = (5, logging.DEBUG)
"""5 is uvicorn's trace level, which tells each message of ASGI."""


@pytest.mark.parametrize("level", LEVELS)
async def test_no_canary_sings(tmp_path: Path, caplog: pytest.LogCaptureFixture, level: int) -> None:
    for name in ("", "uvicorn", "uvicorn.error", "uvicorn.access", "asyncio"):
        caplog.set_level(level, logger=name)
    async with served(tmp_path, **JWT) as running:
        session = await running.token(f"Ana {CANARY}")
        tokens = [session, signed(sub=CANARY), signed(sub=CANARY, secret="t" * 64), f"lcs_{CANARY}.AAAA", CANARY]
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
    assert caplog.records
    lines = [JsonFormatter().format(record) for record in caplog.records]
    secrets = (CANARY, *tokens)
    assert [line for line in lines if any(secret in line for secret in secrets)] == []
