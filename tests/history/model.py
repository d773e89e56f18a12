"""What history has to say, by the words of the definition: a list of all records, judged from the first."""

from typing import NamedTuple

from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED, Record
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.positions import position_at
from livecomments_schemas.window import Window


class Accepted(NamedTuple):
    """An accepted record of a video."""

    position: int
    kind: bytes
    value: bytes
    target: int


class Model:
    """The log of one partition, and what each of its videos is."""

    def __init__(self, epoch: int, window_records: int) -> None:
        self.end = 0
        self._epoch = epoch
        self._window = Window(epoch, 0, 1, since=0, whole=True, size=window_records)
        self._videos: dict[str, list[Accepted]] = {}

    def append(self, record: Record) -> None:
        """The next record of the log."""
        verdict = judge(record, self._window)
        self.end = record.offset + 1
        if verdict.kind is Kind.ACCEPTED:
            assert record.value is not None
            position = position_at(self._epoch, record.offset)
            self.add(verdict.video_id, Accepted(position, record.headers["type"], record.value, verdict.target))

    def add(self, video_id: str, accepted: Accepted) -> None:
        """An accepted record of a video, also of an older epoch."""
        self._videos.setdefault(video_id, []).append(accepted)

    def entries(self, video_id: str, after: int, through: int) -> list[Accepted]:
        """All accepted records of a video with after < position ≤ through."""
        return [one for one in self._videos.get(video_id, ()) if after < one.position <= through]

    def shown(self, video_id: str, through: int, deletes_through: int) -> dict[int, bytes]:
        """The comments up to `through` that no delete up to `deletes_through` has deleted."""
        comments = {
            one.position: one.value for one in self.entries(video_id, 0, through) if one.kind == COMMENT_CREATED
        }
        for one in self.entries(video_id, 0, deletes_through):
            if one.kind == COMMENT_DELETED:
                comments.pop(one.target, None)
        return comments

    def always_shown(self, video_id: str, through: int) -> dict[int, bytes]:
        """The comments up to `through` that nothing in the log has deleted."""
        return self.shown(video_id, through, position_at(self._epoch, self.end))
