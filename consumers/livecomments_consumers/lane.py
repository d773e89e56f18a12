"""How bytes reach a viewer, as hub and channel see it."""

from typing import Protocol

from livecomments_consumers.block import Block
from livecomments_consumers.viewer import Viewer
from livecomments_consumers.wire import Form


class Lane(Protocol):
    """How bytes reach one viewer."""

    @property
    def kind(self) -> str:
        """What it is called in metrics."""

    @property
    def viewer(self) -> Viewer: ...
    @property
    def address(self) -> str:
        """Where its viewer connects from."""

    @property
    def session(self) -> bytes:
        """The name of the session whose token it came with; empty without one."""

    def take(self, block: Block, now: float) -> None:
        """Write a block that was just flushed, if it comes next and the viewer takes bytes. Never waits.

        Called only while the lane is in no cohort.
        """

    def advance(self, now: float) -> None:
        """Take the viewer's next step if it takes bytes, and more when it is its turn. Never waits."""

    def abort_if_stuck(self, before: float) -> None:
        """End the stream if its viewer has taken nothing since the time `before`."""

    def abort(self, reason: str) -> None:
        """End the stream at once, and throw away what was not sent yet; `reason` is a fixed word."""


class Member(Lane, Protocol):
    """A lane that may stand in a cohort, whose writes pass it by. It steps out before it does anything by itself."""

    @property
    def form(self) -> Form:
        """The form of the bytes that its viewer takes."""

    @property
    def fd(self) -> int:
        """The descriptor that the cohort writes to."""

    def fall_back(self, block: Block, sent: int) -> None:
        """Send the rest of `block`, of which its former cohort sent `sent` bytes; the viewer's place is behind it."""
