"""Opening a mirror by the name of its topic."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rich.console import Console

from livecomments.log.topics import is_ours
from livecomments.runtime.shared_settings import ServerSettings
from livecomments_command.records.bars import bar
from livecomments_command.records.mirror import MirrorLog, MirrorOrigin
from livecomments_command.records.one_log import OneLog
from livecomments_command.records.scan import patiently
from livecomments_schemas.errors import StartRefused


@dataclass(frozen=True)
class Mirrored:
    """Says which topic is read in place of the one that it was copied from."""

    topic: str
    console: Console
    """Where progress, and what is to be known of the mirror, is shown."""

    @asynccontextmanager
    async def opened(self, settings: ServerSettings, origin: MirrorOrigin) -> AsyncIterator[MirrorLog]:
        """Open the mirror for the context, and look through it.

        Raises:
            StartRefused: there is no such topic, it is no mirror of this one, or it was made anew meanwhile.
            OffsetUnavailable, LogUnavailable: run it again.
        """
        from livecomments_command.assembly.kafka import foreign_log  # who reads no mirror loads no client

        if self.topic.startswith(origin.prefix) and is_ours(self.topic.removeprefix(origin.prefix)):
            raise StartRefused(f"{self.topic} is one of our own topics. Name one that replay --to-topic wrote.")
        async with foreign_log(settings, self.topic) as copies:
            one = OneLog(copies, self.topic)
            await patiently(one.begin)
            found = MirrorLog(one, self.topic, origin)
            with bar(self.console, "Looking through", await found.size()) as advance:
                await found.look_through(advance)
            for note in found.notes():
                self.console.print(note)
            yield found
            await patiently(one.check)
