"""Whether the log is still the one that was read: not made anew, and without having lost records from its end.

If it is not, its next offsets are those of comments that were shown already. The gateway that has seen it writes no
more; readers begin anew.
"""

import logging
from typing import Final

from livecomments.log.interface import CommentLog, LogUnavailable, LogWentBackUnavailable
from livecomments.runtime.metrics import Counter

_log: Final = logging.getLogger("livecomments.log")
_resets = Counter("livecomments_log_resets_total", "Times the log was seen to have lost what was read of it.")


class Continuity:
    """What one process has seen of it."""

    def __init__(self, log: CommentLog) -> None:
        self.log: Final = log
        self.resets = 0
        """How often the log went back."""
        self._identity: str | None = None

    def check(self) -> None:
        """Raise LogWentBackUnavailable once the log went back: what is appended may get an id given before."""
        if self.resets:
            raise LogWentBackUnavailable(
                "The log of comments was made anew or lost its end, and would give ids again that it gave before. "
                "Nothing is written until its operators open the next epoch."
            )

    def note(self, reason: str, **where: int) -> None:
        """Note that the log went back, and log it the first time. It stays so until the process ends."""
        if not self.resets:
            sentence = "the log went back, the next epoch is needed: livecomments epochs next"
            _log.critical(sentence, extra={"reason": reason, "epoch": self.log.epoch, **where})
        self.resets += 1
        _resets.inc()

    async def begin(self) -> None:
        """Remember which log is read, before any of it is. Raises LogUnavailable."""
        if self._identity is None:
            self._identity = await self.log.identity()

    async def is_broken(self) -> bool:
        """Ask whether it is another log by now; true once for each. A log that does not answer is none."""
        try:
            identity = await self.log.identity()
        except LogUnavailable:
            return False
        if self._identity is None or identity == self._identity:
            return False
        self._identity = identity
        self.note("it was made anew")
        return True
