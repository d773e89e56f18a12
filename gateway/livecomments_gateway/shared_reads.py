"""One read for all who ask the same at the same moment: a crowd that opens a page costs the store one read."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from hashlib import blake2b
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedReads(Generic[T]):
    """Reads under way, by what they read. Bounded by the requests that wait for them."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[T]] = {}

    async def read(self, what: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """What `read` gives, or what one already under way for the same `what` will give. Raises what it raises.

        `what` must name everything the answer depends on, so that nobody gets one from before their own question.
        """
        task = self._under_way.get(what)
        if task is None:
            task = self._under_way[what] = asyncio.ensure_future(_awaited(read))
            task.add_done_callback(lambda _: self._under_way.pop(what, None))
        return await asyncio.shield(task)  # one who leaves must not end it for the others


async def _awaited(read: Callable[[], Awaitable[T]]) -> T:
    return await read()


def validator(body: bytes) -> str:
    """The `ETag` of an answer: changes with any byte of it, so with a comment that was deleted from it too."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def is_unchanged(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has this very answer (RFC 9110, 13.1.2)."""
    if if_none_match is None:
        return False
    named = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in named or named == ["*"]
