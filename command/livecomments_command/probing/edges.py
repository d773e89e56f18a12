"""Where streams are asked for: every address that a name stands for is an edge of its own."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from livecomments_loadtest.client import CONNECT_TIMEOUT_S, Origin, origin_of

EDGES_MAX: Final = 1_000
"""A stream of each is open in a turn."""


class Edge(NamedTuple):
    """One place to watch at. `said`: how it is called in what the probe tells."""

    said: str
    origin: Origin


async def edges_at(urls: Sequence[str]) -> list[Edge]:
    """Return an edge for each address that these names have now; one that names a single place over TLS is one.

    Raises:
        OSError: a name stands for nothing, or the resolver does not answer; the text names it.
    """
    found: dict[tuple[str, int], Edge] = {}
    for url in urls:
        origin = origin_of(url)
        if origin.tls is not None:  # its certificate names the host, and not where that is
            found[origin.host, origin.port] = Edge(origin.authority, origin)
            continue
        try:
            addresses = await _addresses(origin)
        except OSError as error:
            raise OSError(f"{origin.authority} stands for nothing: {error or type(error).__name__}") from error
        for address in addresses:
            said = f"[{address}]:{origin.port}" if ":" in address else f"{address}:{origin.port}"
            found[address, origin.port] = Edge(said, origin._replace(host=address))
    return list(found.values())[:EDGES_MAX]


async def _addresses(origin: Origin) -> list[str]:
    """Return the addresses of one family, as an edge that has both must not be watched twice."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        told = await asyncio.get_running_loop().getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
    family = min(family for family, *_ in told)  # IPv4 where there is any
    return sorted({str(address[0]) for of, *_, address in told if of == family})
