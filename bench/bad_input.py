"""The corpus of bad input, played at a server that others use."""

import asyncio
from collections import Counter

from tests.corpus.cases import Case, all_cases

_ANSWER_S = 7.0
"""More than the 5 s a head may take: some cases are never a whole request."""


async def play(port: int, session: str, seconds: float) -> Counter[str]:
    """Play the corpus evenly over a time; return how often each status was answered ("": the connection was closed).

    `session` is a good token.
    """
    statuses: Counter[str] = Counter()
    cases = all_cases(session)

    async def play_one(number: int, case: Case) -> None:
        await asyncio.sleep(number * seconds / len(cases))
        statuses[await _status(port, case.raw)] += 1

    await asyncio.gather(*(play_one(number, case) for number, case in enumerate(cases)))
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
