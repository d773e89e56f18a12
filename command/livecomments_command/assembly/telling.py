"""What a process that serves tells in its log of its life: ready or not and why, which partitions it has, gone."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, NoReturn

_log = logging.getLogger("livecomments.command")
_LOOK_S: Final = 1.0
"""So a start is told in a line or two, not in one for each of a thousand partitions."""


@dataclass
class Life:
    """Tells what has changed since it was last looked at."""

    checks: Callable[[], Mapping[str, bool]]
    """What must be so for the process to be ready, each by its name."""
    followed: Callable[[], Collection[int]]
    """The partitions that are followed."""
    _missing: list[str] | None = None
    _partitions: frozenset[int] = field(default_factory=frozenset)

    def look(self) -> None:
        """Log what has changed, if anything."""
        partitions = frozenset(self.followed())
        if taken := sorted(partitions - self._partitions):
            _log.info("partitions taken on", extra={"partitions": taken, "followed": len(partitions)})
        if let_go := sorted(self._partitions - partitions):
            _log.info("partitions let go", extra={"partitions": let_go, "followed": len(partitions)})
        self._partitions = partitions
        missing = sorted(name for name, holds in self.checks().items() if not holds)
        if missing != self._missing:
            if missing:
                _log.warning("not ready", extra={"missing": missing})
            else:
                _log.info("ready")
        self._missing = missing

    async def watch(self) -> NoReturn:
        """Look again and again, as long as the process runs."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_S)


def tell_gone() -> None:
    """Log that the process has ended what it was told to end: what comes behind this is the exit."""
    _log.info("gone")
