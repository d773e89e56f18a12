"""How long all who write waited while an epoch grew, told as a sum of steps."""

import time
from collections.abc import Callable


class Pause:
    """How long writes waited, as a sum of steps, beside how long one record takes to be said and read in this run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.said_s = 0.0
        """Until a record of the topic of epochs was written, by all replicas, and read back; 0 if none was."""
        self._steps: list[tuple[str, float]] = []
        self._noted_at: float | None = None

    def begin(self) -> None:
        """Note that writes wait from now on."""
        self._noted_at = self._clock()

    def note(self, step: str) -> None:
        """Note that what ends now began where the step before it ended."""
        now = self._clock()
        if self._noted_at is not None:
            self._steps.append((step, now - self._noted_at))
            self._noted_at = now

    def sentence(self) -> str:
        """Tell it for people."""
        if not self._steps:
            return "writes waited since another run of this command wrote the fences"
        steps = ", ".join(f"{took_s:.3f} {step}" for step, took_s in self._steps)
        beside = f"; to say a record and read it took {self.said_s:.3f}" if self.said_s else ""
        return f"writes waited {sum(took_s for _, took_s in self._steps):.3f} s: {steps}{beside}"
