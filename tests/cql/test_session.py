"""Whoever waits for an answer of the driver hears of its end, whatever the driver does. Without a server."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from livecomments.cql.session import CqlSession

WAIT_S = 10.0
Page = list[tuple[Any, ...]]


class Answering:
    """A driver's session that answers each statement, from a thread of its own, by what that says."""

    def execute_async(self, statement: Any) -> "Answering":
        self.statement = statement
        return self

    @property
    def has_more_pages(self) -> bool:
        if isinstance(self.statement, BaseException):
            raise self.statement
        return False

    def add_callbacks(self, on_page: Callable[[Page | None], None], on_error: Callable[[BaseException], None]) -> None:
        calls = [lambda: on_page([(1,)])]
        if isinstance(self.statement, tuple):
            calls = [lambda: on_error(self.statement[0])]
        thread = threading.Thread(target=calls[0])
        thread.start()
        thread.join()


@pytest.mark.parametrize("error", [ValueError("a bug"), SystemExit(1), MemoryError(), StopIteration()], ids=repr)
@pytest.mark.parametrize("is_told", [True, False], ids=["told", "raised"])
async def test_whatever_the_driver_raises_ends_the_wait_and_leaves_the_others_theirs(
    error: BaseException, is_told: bool
) -> None:
    session = CqlSession(cast(Any, Answering()))
    failing = session._answer((error,) if is_told else error)
    well = session._answer("a statement")
    async with asyncio.timeout(WAIT_S):
        await asyncio.wait([failing])
        assert await well == [(1,)]
    found = failing.exception()
    assert found is error or (isinstance(error, StopIteration) and isinstance(found, RuntimeError))
