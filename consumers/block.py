"""Blocks: the joined frames of one window of one video, encoded once and shared by all its viewers."""

from collections.abc import Sequence

from consumers.frames import entry_frames
from consumers.wire import Form, formed
from livecomments.log.tail import Entry


class Block:
    """Everything of a video after `after` up to `through`. It suits every viewer from `after` to before `first`."""

    __slots__ = ("_forms", "after", "comments", "first", "is_shared", "through")

    def __init__(
        self, after: int, first: int, through: int, data: bytes, comments: int, *, is_shared: bool = False
    ) -> None:
        self.after = after
        self.first = first
        """The position of its first entry."""
        self.through = through
        self.comments = comments
        self.is_shared = is_shared
        self._forms: dict[Form, bytes] = {Form.PLAIN: data}

    @classmethod
    def of(cls, after: int, entries: Sequence[Entry], through: int, *, is_shared: bool = False) -> "Block":
        """The block of these entries; without any it only moves a viewer on."""
        first = entries[0].position if entries else through + 1
        comments = sum(entry.is_shown for entry in entries)
        return cls(after, first, through, entry_frames(entries), comments, is_shared=is_shared)

    def form(self, form: Form) -> bytes:
        """Its bytes in a form, made at the first use."""
        data = self._forms.get(form)
        if data is None:
            data = self._forms[form] = formed(self._forms[Form.PLAIN], form, compress=self.is_shared)
        return data

    def __len__(self) -> int:
        """Bytes of its frames, plain."""
        return len(self._forms[Form.PLAIN])
