"""Which videos are the probe's own: one in each partition, the same ones in each run. Pure.

That they are the same makes a probe clean up after one that was killed: what it left is where the next one looks.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from math import gcd
from typing import Final

from livecomments_schemas.partitions import murmur2, partition_of

PREFIX: Final = "livecomments-probe."
"""No video of people's begins with it. Change with docs/DATA.md, whose questions leave these videos out."""
NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,24}")
"""What a probe may be called, so that two at the same deployment keep apart."""
LOOKED_AT: Final = 24
"""Videos whose partitions tell how many partitions there are: a wrong count would need all of them to agree on it."""


def video_ids(name: str, partition_count: int) -> list[str]:
    """Return the videos of the probe called `name`, one for each partition, in their order."""
    found: dict[int, str] = {}
    for video_id in _candidates(name):
        found.setdefault(partition_of(video_id, partition_count), video_id)
        if len(found) == partition_count:
            break
    return [found[partition] for partition in range(partition_count)]


def looked_at(name: str) -> list[str]:
    """Return the videos whose pages are asked for to learn how many partitions there are."""
    return [video_id for video_id, _ in zip(_candidates(name), range(LOOKED_AT), strict=False)]


def partition_count_of(homes: Iterable[tuple[str, int]]) -> int | None:
    """Return how many partitions there are where each of these videos lives in that partition; None if none fits.

    A partition is what is left of the video's hash when it is divided by their number, so that divides what is gone.
    """
    told = list(homes)
    number = gcd(*((murmur2(video_id.encode("ascii")) & 0x7FFFFFFF) - partition for video_id, partition in told))
    return number if number > max((partition for _, partition in told), default=0) else None


def _candidates(name: str) -> Iterator[str]:
    return (f"{PREFIX}{name}.{number}" for number in count())
