"""The corpus of bad input, played over and over at a server that others use."""

import asyncio
import itertools
import time
from collections import Counter

from tests.corpus.cases import all_cases

_AT_ONCE = 16
_ANSWER_S = 7.0
"""More than the 5 s a head may take: some cases are never a whole request."""


async def play(port: int, session: str, seconds: float) -> Counter[str]:
    """How often each status was answered ("" is none: the connection was closed). `session` is a good token."""
    cases, until = itertools.cycle(all_cases(session)), time.monotonic() + seconds
    statuses: Counter[str] = Counter()

    async def play_on() -> None:
        while time.monotonic() < until:
            statuses[await _status(port, next(cases).raw)] += 1

    await asyncio.gather(*(play_on() for _ in range(_AT_ONCE)))
    return statuses


async def _status(port: int, raw: bytes) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(_ANSWER_S):
            writer.write(raw)
            while chunk := await reader.read(65_536):
                answer += chunk
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return answer[9:12].decode("latin-1")
