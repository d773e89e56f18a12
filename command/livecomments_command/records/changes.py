"""What a stretch of the log changes: comments that are new, and comments that it deletes, each at most once.

Pure: `Changes` is a fold over judged records. A comment that comes and goes within one stretch is not in it.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import orjson

from livecomments.store.rows import row_of
from livecomments_command.records.export_files import Exported, exported_fact
from livecomments_command.records.parquet import DELETE, UPSERT, Cells, comment_cells, delete_cells, place_cells
from livecomments_command.records.scan import Judged
from livecomments_schemas.events import COMMENT_CREATED, FACT_TYPES
from livecomments_schemas.judge import Kind
from livecomments_schemas.positions import comment_id, epoch_of, offset_of, position_at
from livecomments_schemas.render import render_comment

COMMENT: Final = b',"comment":'
"""What stands in a change's line before the comment, which ends it. Quotes within a string are escaped."""
ROW_BYTES: Final = 600
"""What a change takes in memory beside its line, about."""


class Change(NamedTuple):
    """One row of a feed. `line` is the comment's public JSON; of a delete there is none."""

    op: str
    position: int
    """Of the record that says so: the comment's own, or the delete's."""
    partition: int
    """In which that record lies."""
    video_id: str
    comment_id: str
    appended_at_ms: int
    """Of that record, Unix milliseconds."""
    line: bytes | None = None

    def to_line(self) -> bytes:
        """Return it as one JSON object; a comment stands in it as pages show it, byte for byte."""
        head = orjson.dumps(
            {
                "op": self.op,
                "position": self.position,
                "partition": self.partition,
                "videoId": self.video_id,
                "commentId": self.comment_id,
                "appendedAtMs": self.appended_at_ms,
            }
        )
        return head if self.line is None else b"".join((head[:-1], COMMENT, self.line, b"}"))

    def to_cells(self) -> Cells:
        """Return it as a row by `CHANGE_COLUMNS`."""
        if self.line is not None:
            return (UPSERT, *comment_cells(self.line, self.appended_at_ms))
        place = place_cells(self.position, self.partition)
        return delete_cells(place, self.video_id, self.comment_id, self.appended_at_ms)


class Changes:
    """Folds records, each partition's in their order, from the offsets `first` on."""

    def __init__(self, epoch: int, first: Mapping[int, int], video_id: str | None = None) -> None:
        self._epoch = epoch
        self._first = dict(first)
        self._video_id = video_id
        self._upserts: dict[tuple[str, int], Change] = {}
        self._deletes: dict[tuple[str, str], Change] = {}
        self.following = dict(first)
        """By partition, the offset behind the last record that was taken."""
        self.facts: list[Exported] = []
        """What was said of videos that is no comment, as JSON lines."""
        self.kept_bytes = 0
        """About what all of it takes in memory; never less for a delete."""

    @property
    def has_read(self) -> bool:
        """Whether any record was taken, whatever it was."""
        return self.following != self._first

    def rows(self) -> list[Change]:
        """Return the changes: each video together, a video's in the order of the log."""
        rows = [*self._upserts.values(), *self._deletes.values()]
        return sorted(rows, key=lambda one: (one.video_id, one.position))

    def take(self, partition: int, judged: Iterable[Judged]) -> None:
        """Take the next records of a partition."""
        for record, verdict in judged:
            self.following[partition] = record.offset + 1
            if verdict.kind is not Kind.ACCEPTED or self._video_id not in (None, verdict.video_id):
                continue
            kind, video_id, position = record.headers["type"], verdict.video_id, position_at(self._epoch, record.offset)
            assert record.value is not None
            own_id = comment_id(position, partition)
            if kind == COMMENT_CREATED:
                line = render_comment(own_id, record.value)
                made = Change(UPSERT, position, partition, video_id, own_id, record.appended_at_ms, line)
                self._upserts[video_id, position] = made
                self.kept_bytes += len(line) + ROW_BYTES
            elif verdict.target:
                target_id = orjson.loads(record.value)["commentId"]
                gone = Change(DELETE, position, partition, video_id, target_id, record.appended_at_ms)
                self._delete(verdict.target, gone)
            elif kind in FACT_TYPES:
                fact = exported_fact(own_id, row_of(record, verdict, self._epoch))
                self.facts.append(fact)
                self.kept_bytes += len(fact.line) + ROW_BYTES

    def _delete(self, target: int, gone: Change) -> None:
        """Let a comment of this stretch never have been, and remember a delete of an earlier one."""
        if epoch_of(target) == self._epoch and offset_of(target) >= self._first[gone.partition]:
            self._upserts.pop((gone.video_id, target), None)
        else:
            self._deletes[gone.video_id, gone.comment_id] = gone
            self.kept_bytes += ROW_BYTES
