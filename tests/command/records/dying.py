"""A replay of dead letters that kills itself: `python -m tests.command.records.dying DATA_DIR PARTITIONS EVENT`.

It dies by SIGKILL at the event of that number, counted from 1: before an append to either topic, or after it.
"""

import asyncio
import os
import signal
import sys
from dataclasses import replace

from livecomments_command.records.dead_letters import replay_letters
from livecomments_command.records.opened import opened
from livecomments_command.settings import ToolSettings, load
from tests.log.faults import WatchedLog


class Dying:
    """What both logs await: counts their appends, and their ends, and dies at one of them."""

    def __init__(self, event: int) -> None:
        self._left = event

    async def __call__(self, name: str) -> None:
        if name.startswith("append"):
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


async def main(data_dir: str, partitions: str, event: str) -> None:
    """Replay all letters, as far as it comes."""
    settings = load(ToolSettings, {"LIVECOMMENTS_DATA_DIR": data_dir, "LIVECOMMENTS_PARTITIONS": partitions})
    dying = Dying(int(event))
    async with opened(settings) as found:
        logs = replace(
            found, log=WatchedLog(found.log, dying), dead_letter_log=WatchedLog(found.dead_letter_log, dying)
        )
        async for _ in replay_letters(logs, None, dry_run=False):
            pass


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
