"""What the router says of a request in a header of its own: `partition/count/rank`, or `any`. It is counted, no more.

A router that does not know the partitions, or takes another number of them for true, is right all the same and only
makes more work; so here is where it shows.
"""

import re
from collections.abc import Iterable
from typing import Final

from livecomments.runtime.metrics import Counter

ROUTE_HEADER: Final = "livecomments-route"
"""Change with infra/router/partition.lua and the load balancers' files."""
ANY_ROUTE: Final = "any"
"""Said by a router that knows partitions and sees no server that is ready, and by who asks each server on purpose."""
_FIELD: Final = ROUTE_HEADER.encode("ascii")
_ROUTE: Final = re.compile(r"([0-9]{1,8})/([0-9]{1,8})/([0-9]{1,8})")

_requests = Counter(
    "livecomments_routed_requests_total", "Requests for a video, by where the router thinks it sent them.", ["to"]
)
_HOME: Final = _requests.labels("home")
_SPILL: Final = _requests.labels("spill")
_ELSEWHERE: Final = _requests.labels("elsewhere")
_ANY: Final = _requests.labels("any")
_UNROUTED: Final = _requests.labels("unrouted")


def said_route(fields: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return what the router said of a request, of its header fields by lower-case names; None if nothing."""
    for name, value in fields:
        if name == _FIELD:
            return value.decode("latin-1")
    return None


def count_routed(route: str | None, home: int, partition_count: int) -> None:
    """Count a request for a video of the partition `home`, by what the router said of it.

    - home: the first server of the partition. - spill: a further one, since the first has its bound of this partition.
    - elsewhere: the router takes the video for one of another partition, or counts other partitions than there are.
    - any: it was sent to whoever there is, by one that knows better. - unrouted: no router that knows partitions was in
      between.
    """
    if route == ANY_ROUTE:
        _ANY.inc()
        return
    said = _ROUTE.fullmatch(route) if route else None
    if said is None:
        _UNROUTED.inc()
        return
    partition, count, rank = map(int, said.groups())
    if (partition, count) != (home, partition_count):
        _ELSEWHERE.inc()
    elif rank == 1:
        _HOME.inc()
    else:
        _SPILL.inc()
