"""Waiting for a condition, with a bound."""

import time
from collections.abc import Callable
from typing import Final

WAIT_S: Final = 20.0


def wait_until(condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Returns when the condition holds; fails when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)
