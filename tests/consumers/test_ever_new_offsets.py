"""Pollers that never ask the same twice: an edge keeps nothing of what it was asked."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from itertools import count, islice
from typing import Final

from livecomments_consumers.settings import HubSettings
from livecomments_schemas.errors import Rejected
from livecomments_schemas.positions import comment_id, position_at
from tests.consumers.edge import VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import pass_time

BEFORE: Final = 1_000
"""Whatever is there once, or is kept of the newest few, is there by then."""
ASKED: Final = 5_000
AT_ONCE: Final = 100
COMMENTS: Final = 400
VIDEOS: Final = 50
GROWN_MAX: Final = ASKED // 10
"""Objects. What is kept of each question, or of each of one kind, is more."""


def ever_new() -> Iterator[str]:
    """Questions without an end, none of them twice: the right, the wrong and the impossible."""
    for number in count():
        position = position_at(1, number % COMMENTS)
        for query in (
            f"offset={comment_id(position, 0)}&cursor={number}",  # what there is, as asked by nobody before
            f"offset={comment_id(position_at(1, COMMENTS + number), 0)}",  # of the future
            f"offset={comment_id(position_at(2 + number % 900, number), 0)}&live=long-poll",  # of an epoch to come
            f"offset={comment_id(position_at(1, number), 1 + number % 99)}",  # of another partition
            f"offset={number}",
            f"offset=-1&live=long-poll&cursor={10**15 - 2 - number}",
            f"offset=now&live=long-poll&cursor={number}",
            f"offset={comment_id(position, 0)}&live=sse&cursor={number}",
            f"offset=-1&x{number}={number}",
            f"live={number}&offset=-1",
        ):
            yield "?" + query


async def asked(edge: VirtualEdge, queries: Iterator[str], many: int) -> None:
    """Ask so many, some at once; who waits leaves."""
    while batch := list(islice(queries, min(AT_ONCE, many))):
        many -= len(batch)
        readers = [
            edge.poll(query, (b"if-none-match", f'"{query}"'.encode()), video_id=f"v{n % VIDEOS}" if n % 3 else "v")
            for n, query in enumerate(batch)
        ]
        await pass_time(0.05)
        for reader in readers:
            reader.transport.abort()
        answers = [reader.serving for reader in readers if reader.serving is not None]
        for refused in await asyncio.gather(*answers, return_exceptions=True):
            if not isinstance(refused, Rejected | None):
                raise refused


def test_questions_that_were_never_asked_before_leave_nothing_behind() -> None:
    async def story() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(COMMENTS // 2)
            await edge.store_all()
            edge.append(COMMENTS // 2)
            await pass_time(1)
            queries = ever_new()
            await asked(edge, queries, BEFORE)
            before = _objects()
            await asked(edge, queries, ASKED)
            assert _objects() - before < GROWN_MAX
            assert not edge.hub._channels

    virtually(story)


def _objects() -> int:
    gc.collect()
    return sys.getallocatedblocks()
