"""Writes a feed anew and kills itself: `python -m tests.command.records.dying_rewriting ADDRESS EVENT`.

It merges the first two steps, then erases what ana wrote, and dies by SIGKILL before the change to the bucket of that
number, counted from 1.
"""

import asyncio
import os
import signal
import sys

from rich.console import Console

from livecomments_command.records.compacting import compact_in
from livecomments_command.records.erase_feeds import erase_from_feed
from livecomments_command.records.places import Bucket


class Dying(Bucket):
    """A bucket whose writer dies."""

    def __init__(self, address: str, event: int) -> None:
        super().__init__(address)
        self._left = event

    def write(self, path: str, content: bytes) -> None:
        """Write an object, or die."""
        self._change()
        super().write(path, content)

    def remove(self, path: str) -> None:
        """Remove an object, or die."""
        self._change()
        super().remove(path)

    def _change(self) -> None:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(address: str, event: str) -> None:
    """Merge and erase, as far as it comes."""
    place, quiet = Dying(address, int(event)), Console(quiet=True)
    await compact_in(place, quiet, 64 << 20, last=2)
    await erase_from_feed(place, quiet, "ana")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
