"""Comments and writers a minute, counted over the judged log: a fold that begins anew at the minute that is going on.

Each partition has one minute that is not over: that of its latest comment. Where it began is all that has to be kept
to count on: read from there, the same records make the same counts. What was told before is not told again on the way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from livecomments_command.records.scan import Judged
from livecomments_schemas.counts import COUNTS_PROGRESS, MINUTE_MS, PROGRESS_KEY, Count
from livecomments_schemas.events import COMMENT_CREATED, SCHEMA_VERSION, NewRecord
from livecomments_schemas.judge import Kind
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at

_NO_MINUTE: Final = -1


@dataclass
class _Tally:
    """One video in the minute that is going on."""

    comments: int
    writers: set[bytes]
    through: str


@dataclass
class _PartitionCounts:
    """The minute that is going on in a partition. Writers of one minute are in memory: at most its comments."""

    following: int
    """The first offset that is not counted."""
    told: int
    """Up to where all was told before: what lies before it is counted and not told again."""
    begun: int | None = None
    """The offset of the minute's first comment; None: it began in the epoch before, or not yet."""
    minute: int = _NO_MINUTE
    unsure: int | None = None
    """A minute that is not told: the log has let go of its beginning."""
    is_cut: bool = False
    """The log begins within a minute that nobody knows yet."""
    is_carried: bool = False
    """The minute began in the epoch before."""
    tallies: dict[str, _Tally] = field(default_factory=dict)


@dataclass
class _EpochCounts:
    number: int
    partitions: dict[int, _PartitionCounts]


Progress = Mapping[int, Mapping[int, Mapping[str, Any]]]
"""By epoch, by partition: `from`, `through` and maybe `unsure`, as the record of progress has them."""


class MinuteCounts:
    """The counts of a log. Begin an epoch, take its records, each partition's in their order, then the next epoch.

    Args:
        known: how far the counts are that were told; empty: nothing was.
    """

    def __init__(self, known: Progress) -> None:
        self._known = known
        self._epochs: list[_EpochCounts] = []
        self.pending: dict[tuple[str, int], Count] = {}
        """What is to be told: the newest count of each video and minute that has changed."""

    def begin(self, epoch: int, starts: Mapping[int, int]) -> dict[int, int]:
        """Begin an epoch; from where each partition is read.

        Args:
            epoch: its number; later than the one before, if there was one.
            starts: where the log of each partition begins now.
        """
        known = self._known.get(epoch, {})
        partitions = {}
        for number, start in starts.items():
            said = known.get(number, {})
            begun, told = said.get("from"), said.get("through", 0)
            at = start if begun is None else begun
            one = _PartitionCounts(max(at, start), told, unsure=said.get("unsure"))
            # Of a minute whose beginning is gone nothing is told, or a larger count would be taken back.
            one.is_cut = one.following > at if begun is not None else start > 0
            partitions[number] = one
        if self._epochs:
            _carry(self._epochs[-1], partitions)
        self._epochs.append(_EpochCounts(epoch, partitions))
        self._prune()
        return {number: one.following for number, one in partitions.items()}

    def take(self, partition: int, judged: Iterable[Judged], following: int) -> None:
        """Count the next records of a partition; `following` is the offset behind them."""
        epoch = self._epochs[-1]
        one = epoch.partitions[partition]
        for record, verdict in judged:
            if verdict.kind is not Kind.ACCEPTED or record.headers["type"] != COMMENT_CREATED:
                continue
            minute = record.appended_at_ms // MINUTE_MS
            if minute > one.minute:
                one.minute, one.begun, one.is_carried, one.tallies = minute, record.offset, False, {}
                if one.is_cut:
                    one.unsure, one.is_cut = minute, False
            own_id = comment_id(position_at(epoch.number, record.offset), partition)
            tally = one.tallies.setdefault(verdict.video_id, _Tally(0, set(), own_id))
            tally.comments += 1
            tally.writers.add(record.headers["author"])
            tally.through = own_id
            if record.offset >= one.told and one.minute != one.unsure:
                count = Count(verdict.video_id, one.minute, tally.comments, len(tally.writers), own_id)
                self.pending[verdict.video_id, one.minute] = count
        one.following = following
        self._prune()

    def progress(self) -> NewRecord:
        """Make the record that says how far the counts are, once what is pending was told."""
        epochs = [
            {"epoch": one.number, "partitions": {str(number): _said(each) for number, each in one.partitions.items()}}
            for one in self._epochs
        ]
        headers = {"type": COUNTS_PROGRESS, "schema": SCHEMA_VERSION}
        return NewRecord(PROGRESS_KEY, orjson.dumps({"epochs": epochs}), headers)

    def _prune(self) -> None:
        """Forget an epoch once no minute goes on that began in it."""
        while len(self._epochs) > 1 and not any(one.is_carried for one in self._epochs[1].partitions.values()):
            del self._epochs[0]


def progress_of(value: bytes) -> Progress:
    """Read a record of progress. Raises ValueError: it is none."""
    try:
        return {
            int(epoch["epoch"]): {
                int(number): {
                    "from": None if one["from"] is None else int(one["from"]),
                    "through": int(one["through"]),
                    **({"unsure": int(one["unsure"])} if "unsure" in one else {}),
                }
                for number, one in epoch["partitions"].items()
            }
            for epoch in orjson.loads(value)["epochs"]
        }
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError("no progress of counts") from error


def _said(one: _PartitionCounts) -> dict[str, int | None]:
    said: dict[str, int | None] = {"from": one.begun, "through": max(one.following, one.told)}
    if one.unsure is not None and one.unsure == one.minute:
        said["unsure"] = one.unsure
    return said


def _carry(before: _EpochCounts, partitions: Mapping[int, _PartitionCounts]) -> None:
    """Let minutes that were going on at the end of an epoch go on in the next, each video in its new partition.

    A partition has one parent: a new count is a multiple of the old one. Where it is not (the old topic was lost), the
    minutes of all are taken.
    """
    count = len(partitions)
    for parent in before.partitions.values():
        for video_id, tally in parent.tallies.items():
            child = partitions[partition_of(video_id, count)]
            if parent.minute > child.minute:
                child.minute, child.is_carried, child.tallies = parent.minute, True, {}
                child.unsure = parent.minute if child.is_cut else parent.unsure
            if parent.minute == child.minute:
                child.tallies[video_id] = _Tally(tally.comments, set(tally.writers), tally.through)
