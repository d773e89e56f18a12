"""One question until it has a final answer: tries, waits between them, and what happened on the way."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import orjson

from livecomments_loadtest.client import ANSWER_TIMEOUT_S, Pool, Response

BACKOFF_FIRST_S: Final = 0.05
BACKOFF_MAX_S: Final = 2.0
"""Doubling between them, each time a random part of it: a server that comes back meets no herd."""

RETRIED_STATUSES: Final = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass
class CallOutcome:
    """What became of a question. `response` None: no final answer in time. `sent_at`: just before the first try.

    `trouble`: what the newest try came to that was not final.
    """

    response: Response | None = None
    sent_at: float = 0.0
    tries: int = 0
    trouble: str = ""


class Caller:
    """Asks over a pool until `give_up_at`, a moment of `time.perf_counter`. `retries` counts the reasons."""

    def __init__(self, pool: Pool, give_up_at: float) -> None:
        self.pool = pool
        self.give_up_at = give_up_at
        self.retries: Counter[str] = Counter()
        self.asked = 0
        self._rng = random.Random()  # noqa: S311 - spreads retries, no secret

    async def ask(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> CallOutcome:
        """Ask until an answer is final (not one of `RETRIED_STATUSES`) or time is over. Never raises OSError."""
        request = self.pool.origin.head(method, target, headers, body)
        outcome = CallOutcome()
        failures = 0
        while (left_s := self.give_up_at - time.perf_counter()) > 0:
            retry_after_s = 0.0
            try:
                async with self.pool.wire() as wire:
                    outcome.sent_at = outcome.sent_at or time.perf_counter()
                    outcome.tries += 1
                    self.asked += 1
                    response = await wire.ask(request, min(ANSWER_TIMEOUT_S, left_s))
            except OSError as error:
                self.retries[f"network: {type(error).__name__}"] += 1
                outcome.trouble = str(error) or type(error).__name__
            else:
                if response.head.status not in RETRIED_STATUSES:
                    outcome.response = response
                    return outcome
                outcome.trouble = f"{response.head.status} {problem_code(response)}"
                self.retries[outcome.trouble] += 1
                retry_after_s = response.head.retry_after_s()
            backoff_s = min(BACKOFF_FIRST_S * 2**failures, BACKOFF_MAX_S) * self._rng.random()
            failures += 1
            left_s = self.give_up_at - time.perf_counter()
            await asyncio.sleep(max(0.0, min(retry_after_s + backoff_s, left_s)))
        return outcome


def problem_code(response: Response) -> str:
    """Return the stable `code` of a problem+json body; empty if it has none."""
    try:
        return str(orjson.loads(response.body)["code"])
    except (ValueError, KeyError, TypeError):
        return ""
