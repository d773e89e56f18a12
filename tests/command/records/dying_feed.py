"""A feed that kills itself: `python -m tests.command.records.dying_feed DATA_DIR DIRECTORY EVENT`.

It dies by SIGKILL at the write of that number, counted from 1: behind it if even, before its file has its name if odd.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from livecomments_command.records.feed import Rhythm, beginning, feed, standing
from livecomments_command.records.feed_steps import FeedPlan
from livecomments_command.records.opened import opened
from livecomments_command.records.places import Directory
from livecomments_command.settings import ToolSettings, load
from tests.command.installation import PARTITIONS


class Dying(Directory):
    """A directory whose writer dies."""

    def __init__(self, root: Path, event: int) -> None:
        super().__init__(root)
        self._root_path = root
        self._event = self._left = event

    def write(self, path: str, content: bytes) -> None:
        """Write a file, or not."""
        self._left -= 1
        if self._left == 0 and self._event % 2:
            file = self._root_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.with_name(f".{file.name}.new").write_bytes(content[:9])
        else:
            super().write(path, content)
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(data_dir: str, directory: str, event: str) -> None:
    """Feed, as far as it comes."""
    environ = {"LIVECOMMENTS_DATA_DIR": data_dir, "LIVECOMMENTS_PARTITIONS": str(PARTITIONS)}
    place, plan = Dying(Path(directory), int(event)), FeedPlan("jsonl")
    async with opened(load(ToolSettings, environ)) as found:
        begun = await beginning(found, plan, await standing(place, plan))
        await feed(found, Console(quiet=True), place, plan, begun, Rhythm(bytes_max=10_000))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
