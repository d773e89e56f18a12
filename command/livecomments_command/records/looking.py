"""How a log that is followed is looked at while nothing comes: how often, and until when."""

import asyncio
import signal
from contextlib import suppress
from dataclasses import dataclass


@dataclass(frozen=True)
class Looking:
    """Of who follows one."""

    stop: asyncio.Event | None = None
    """Once set, somebody wants it to end."""
    poll_s: float = 1.0
    """Between two looks at where the log ends, once all of it was read."""

    @property
    def is_stopped(self) -> bool:
        """Whether somebody wants it to end."""
        return self.stop is not None and self.stop.is_set()

    async def pause(self) -> None:
        """Wait a little for what may come, or until somebody wants it to end."""
        with suppress(TimeoutError):
            await asyncio.wait_for((self.stop or asyncio.Event()).wait(), self.poll_s)


def told_to_stop() -> asyncio.Event:
    """Return what SIGTERM and SIGINT set from now on."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told
