"""How far a job is with the partitions it was given: its lag, what the group fails to deliver, and whether it is stuck.

Told by the job what comes, what is stored and where the log ends; asks no clock and does no I/O. Times are monotonic.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from livecomments.log.lag import Lag

UNDELIVERED_S: Final = 10.0
"""A record that the group has not delivered after this long is read from the log itself. A poll waits 0.15 s."""
STUCK_S: Final = 60.0
"""Longer than a rebalance: a group that delivers nothing this long, with new records in the log, will not any more."""
JOIN_S: Final = 300.0
"""A group that lets nobody in this long, while the log answers, is tried anew by a new process."""
OBSERVED_S: Final = 10.0
"""A partition's lag is not known once nobody could look for this long: a lost leader is back within that, mostly."""


class _PartitionProgress:
    """What is known of a partition since it was given."""

    __slots__ = ("end_when_given", "fed_at", "lag")

    def __init__(self, idle_s: float) -> None:
        self.fed_at = idle_s
        """When it last got records, by a clock that stands still while records are being stored."""
        self.lag = Lag()
        self.end_when_given: int | None = None

    def observe(self, end: int, next_offset: int, now: float) -> None:
        if self.end_when_given is None:
            self.end_when_given = end
        self.lag.observe(end, next_offset, now)


class Progress:
    """The state of one process in its group."""

    def __init__(self, now: float) -> None:
        self._partitions: dict[int, _PartitionProgress] = {}
        self._joining_since: float | None = now
        self._unfed_since: float | None = None
        self._taking = 0
        self._idle_before_s = 0.0
        self._idle_since = now

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that the group has given to this process."""
        return frozenset(self._partitions)

    @property
    def is_joined(self) -> bool:
        """Whether the group has given this process its partitions, be they none."""
        return self._joining_since is None

    @property
    def lag_records(self) -> int:
        """Records in the log, of these partitions, that were not stored when it was looked at last."""
        return sum(partition.lag.records for partition in self._partitions.values())

    def lag_s(self, now: float) -> float:
        """Tell for how long the oldest record that is not stored has been seen in the log; 0 when all are."""
        oldest = [since for partition in self._partitions.values() if (since := partition.lag.since) is not None]
        return now - min(oldest) if oldest else 0.0

    def unobserved(self, now: float) -> list[int]:
        """Name the partitions of which nobody could tell the lag for a while, or yet."""
        return [number for number, one in self._partitions.items() if not one.lag.is_known(now, OBSERVED_S)]

    def joining_s(self, now: float) -> float:
        """Tell for how long the group has let this process wait for its partitions; 0 once it has given them."""
        return 0.0 if self._joining_since is None else now - self._joining_since

    def give(self, partitions: Iterable[int], now: float) -> None:
        """Note that the group gave these partitions, and no others."""
        self._partitions = {number: _PartitionProgress(self._idle_s(now)) for number in partitions}
        self._joining_since = self._unfed_since = None

    def revoke(self, now: float) -> None:
        """Note that the group took all partitions back, to deal them anew."""
        self._partitions = {}
        self._joining_since, self._unfed_since = now, None

    def begin_take(self, now: float) -> None:
        """Note that the group delivered records; nothing more is expected of it until `end_take`."""
        self._idle_before_s, self._idle_since = self._idle_s(now), now
        self._taking += 1
        self._unfed_since = None

    def end_take(self, partitions: Collection[int], now: float) -> None:
        """Note that the records that were delivered, of these partitions, are stored."""
        self._taking -= 1
        self._idle_since = now
        for number in self._partitions.keys() & frozenset(partitions):
            self._partitions[number].fed_at = self._idle_before_s

    def observe(self, ends: Mapping[int, int], next_offsets: Mapping[int, int], now: float) -> None:
        """Note where these partitions end, and what is not stored of them."""
        for number in self._partitions.keys() & ends.keys() & next_offsets.keys():
            self._partitions[number].observe(ends[number], next_offsets[number], now)

    def note_withheld(self, number: int, through: int, now: float) -> None:
        """Note that the group withheld records up to offset `through`: they had to be read from the log itself.

        Those from before it was given may have been committed and not stored; of later ones the group is to blame.
        """
        partition = self._partitions.get(number)
        if partition and partition.end_when_given is not None and through >= partition.end_when_given:
            self._unfed_since = self._unfed_since or now

    def undelivered(self, now: float) -> list[int]:
        """List partitions with records that the group has not delivered for too long."""
        idle_s = self._idle_s(now)
        return [
            number
            for number, partition in self._partitions.items()
            if partition.lag.records and idle_s - partition.fed_at >= UNDELIVERED_S
        ]

    def is_consuming(self) -> bool:
        """Tell whether the group delivers, as far as there is something to deliver."""
        return self.is_joined and self._unfed_since is None

    def is_stuck(self, now: float) -> bool:
        """Tell whether only a new process will help."""
        if self._joining_since is not None:
            return now - self._joining_since >= JOIN_S
        return self._unfed_since is not None and now - self._unfed_since >= STUCK_S

    def _idle_s(self, now: float) -> float:
        """Return the seconds, so far, in which no records were being stored."""
        return self._idle_before_s + (0.0 if self._taking else now - self._idle_since)
