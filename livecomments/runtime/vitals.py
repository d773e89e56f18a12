"""What every process tells of itself, whatever its job: which build it is, and how late its loop runs."""

import asyncio
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NoReturn

from livecomments.runtime.metrics import SECONDS_BUCKETS, Gauge, Histogram

_LOOK_S: Final = 0.25
"""Four looks a second cost nothing, and a loop that is held up for a heartbeat of a probe is seen several times."""

_build = Gauge("livecomments_build_info", "Always 1; which build runs, by version and Python.", ["version", "python"])
_lag = Histogram(
    "livecomments_loop_lag_seconds",
    "How late the event loop calls what is due: what everything else in this process waits too.",
    buckets=SECONDS_BUCKETS,
)


def own_version() -> str:
    """Return the version of livecomments that runs, or `unknown` where it was not installed."""
    try:
        return version("livecomments")
    except PackageNotFoundError:
        return "unknown"


async def watch_loop() -> NoReturn:
    """Tell which build runs, and observe how late the loop is, for as long as it runs."""
    _build.labels(own_version(), platform.python_version()).set(1)
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LOOK_S
        await asyncio.sleep(_LOOK_S)
        _lag.observe(max(0.0, loop.time() - due))
