"""How many streams one address has open. Pure.

Only for edges that clients connect to themselves: behind a proxy all come from its address.
"""

from collections import Counter
from ipaddress import IPv6Address


class Addresses:
    """The addresses of one edge's viewers; with a bound of 0 nothing is counted."""

    def __init__(self, streams_max: int) -> None:
        self._streams_max = streams_max
        self._streams: Counter[str] = Counter()

    def is_full(self, address: str) -> bool:
        """Tell whether it may open no more streams."""
        return bool(self._streams_max) and self._streams[_owner(address)] >= self._streams_max

    def enter(self, address: str) -> None:
        """Count a stream that the address has opened."""
        if self._streams_max:
            self._streams[_owner(address)] += 1

    def leave(self, address: str) -> None:
        """Note that one of its streams has ended."""
        if self._streams_max:
            owner = _owner(address)
            self._streams[owner] -= 1
            if not self._streams[owner]:
                del self._streams[owner]


def _owner(address: str) -> str:
    """Return the first 64 bits of version 6: everybody has as many addresses as the rest of them gives."""
    if ":" not in address:
        return address
    parsed = IPv6Address(address)
    return str(parsed.ipv4_mapped or parsed.exploded[:19])
