"""Streams run on the loop the service runs on, and on asyncio's own."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every asynchronous test here runs once on each."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
