"""Consumer lag of one partition: records, and seconds. Pure: told where log and reader are, and when; asks no clock."""

from collections import deque
from typing import Final

_SAMPLES_MAX: Final = 512
"""Of where a partition ended and when; when full, every second one is dropped: lag in seconds grows coarser."""


class Lag:
    """How far a reader is behind the end of a partition, as far as anybody looked."""

    __slots__ = ("_samples", "end", "next_offset", "observed_at")

    def __init__(self) -> None:
        self.end = self.next_offset = 0
        self.observed_at: float | None = None
        """When somebody last looked; None as long as nobody has."""
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def records(self) -> int:
        """Count the records that were not read when somebody last looked."""
        return max(0, self.end - self.next_offset)

    @property
    def since(self) -> float | None:
        """Tell since when the oldest record that is not read has been seen in the log; None if all are read."""
        return self._samples[0][0] if self._samples else None

    def observe(self, end: int, next_offset: int, now: float) -> None:
        """Note where the partition ends, and the first offset that is not read."""
        if end > self.end or not self._samples:
            self._samples.append((now, end))
        self.end, self.next_offset, self.observed_at = end, next_offset, now
        while self._samples and self._samples[0][1] <= next_offset:
            self._samples.popleft()
        if len(self._samples) > _SAMPLES_MAX:
            self._samples = deque(list(self._samples)[::2])

    def is_known(self, now: float, fresh_s: float) -> bool:
        """Tell whether somebody looked within the last `fresh_s` seconds."""
        return self.observed_at is not None and now - self.observed_at <= fresh_s
