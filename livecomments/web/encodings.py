"""Which content coding a client takes."""

import re
from functools import lru_cache
from typing import Final

_WEIGHT: Final = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)


@lru_cache(maxsize=64)  # there are few browsers
def accepts_gzip(accept_encoding: str) -> bool:
    """Tell whether an Accept-Encoding header allows gzip, and does not prefer the plain bytes (RFC 9110, 12.5.3)."""
    weights: dict[str, float] = {}
    for item in accept_encoding.lower().split(","):
        coding, _, parameters = item.partition(";")
        weight = _WEIGHT.fullmatch(parameters.strip(" \t"))
        if weight is not None or not parameters:
            weights[coding.strip(" \t")] = float(weight[1]) if weight is not None else 1.0
    gzip = weights.get("gzip", weights.get("x-gzip", weights.get("*", 0.0)))
    return gzip > 0 and gzip >= weights.get("identity", 0.0)
