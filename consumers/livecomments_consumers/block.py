"""Blocks: the frames of one video that came while it lingered, joined, encoded once and shared by all its viewers."""

from collections.abc import Callable, Sequence
from typing import Final

from livecomments.following.tail import Entry
from livecomments_consumers.frames import entry_frames
from livecomments_consumers.wire import Form, formed

_FRAME_BYTES: Final = 80
"""What a frame adds to the value of its entry: the names of the fields, and the id twice."""


class Block:
    """Everything of a video after `after` up to `through`. It suits every viewer from `after` to before `first`."""

    __slots__ = ("_forms", "after", "appended_at_ms", "comments", "first", "is_shared", "through", "when_taken")

    def __init__(
        self,
        after: int,
        first: int,
        through: int,
        data: bytes,
        comments: int,
        *,
        appended_at_ms: int = 0,
        is_shared: bool = False,
    ) -> None:
        self.after = after
        self.first = first
        """The position of its first entry."""
        self.through = through
        self.comments = comments
        self.appended_at_ms = appended_at_ms
        """When the oldest of its comments was appended: none of them was on its way for longer."""
        self.is_shared = is_shared
        """Many viewers get it, so that compressing it pays."""
        self.when_taken: Callable[[], None] | None = None
        """Called once, as soon as a first viewer's socket has taken it; must not raise."""
        self._forms: list[bytes | None] = [data, None, None, None]

    @classmethod
    def of(cls, after: int, entries: Sequence[Entry], through: int, *, is_shared: bool = False) -> "Block":
        """Make the block of these entries; without any it only moves a viewer on to `through`."""
        first = entries[0].position if entries else through + 1
        shown = [entry.appended_at_ms for entry in entries if entry.is_shown]
        oldest_ms = shown[0] if shown else 0
        frames = entry_frames(entries)
        return cls(after, first, through, frames, len(shown), appended_at_ms=oldest_ms, is_shared=is_shared)

    def form(self, form: Form) -> bytes:
        """Return its bytes in a form, made at the first use."""
        data = self._forms[form]
        if data is None:
            data = self._forms[form] = formed(self.data, form, compress=self.is_shared)
        return data

    @property
    def data(self) -> bytes:
        """Its frames. Empty if viewers see nothing of it: then it only moves them on."""
        data = self._forms[0]
        assert data is not None
        return data


def fitting(entries: Sequence[Entry], bytes_max: int) -> int:
    """Tell how many of these entries, from the first on, fit into a block; one always does."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry.value) + _FRAME_BYTES
        if size > bytes_max and count:
            return count
    return len(entries)
