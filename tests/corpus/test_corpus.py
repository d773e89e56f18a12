"""Each case of the corpus is answered as it says, in bounded time, and nothing is written; others hardly notice."""

import asyncio
import json
import time
from pathlib import Path
from typing import Final

from livecomments.web.problems import STATUS
from tests.corpus.cases import AUDIENCE, ISSUER, SECRET, Case, all_cases
from tests.served import Served, served

CASES_MIN: Final = 1_000
AT_ONCE: Final = 16
ANSWER_S: Final = 7.0
"""More than the 5 s a head may take: some cases are never a whole request."""


async def said(port: int, case: Case) -> str:
    """The code that answers a case, the status of what is no problem, or "closed"."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        async with asyncio.timeout(ANSWER_S):
            writer.write(case.raw)
            while chunk := await reader.read(65_536):
                answer += chunk
    except ConnectionError:
        pass  # refused before it was sent whole
    except TimeoutError:
        answer = answer or b"HTTP/1.1 timeout"
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        return "closed"
    if b"application/problem+json" in head:
        return str(json.loads(body)["code"])
    return head.split(b" ")[1].split(b"\r\n")[0].decode()


async def test_each_case_is_refused_as_it_says_and_nothing_is_written(tmp_path: Path) -> None:
    async with served(tmp_path, jwt_secret=SECRET, jwt_issuer=ISSUER, jwt_audience=AUDIENCE) as running:
        cases = all_cases(await running.token())
        assert len(cases) >= CASES_MIN
        assert all(code in STATUS or code in ("closed", "200") for case in cases for code in case.codes)
        wrong = await play(running, cases)
        assert not wrong, f"{len(wrong)} of {len(cases)}: " + "; ".join(wrong[:20])
        assert (await running.page("v"))["comments"] == []


async def play(running: Served, cases: list[Case]) -> list[str]:
    """All cases, some at a time; those that were answered otherwise."""
    port, turns, wrong = int(running.url.rpartition(":")[2]), asyncio.Semaphore(AT_ONCE), list[str]()

    async def one(case: Case) -> None:
        async with turns:
            began_at = time.monotonic()
            code = await said(port, case)
            if code not in case.codes or time.monotonic() - began_at > ANSWER_S:
                wrong.append(f"{case.name}: {code}, not {'|'.join(sorted(case.codes))}: {case.raw[:90]!r}")

    await asyncio.gather(*(one(case) for case in cases))
    return wrong
