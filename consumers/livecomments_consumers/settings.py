"""What can be configured of an edge's fan-out."""

from dataclasses import dataclass
from typing import Final

from livecomments.runtime.settings import NOT_NEGATIVE, POSITIVE, Rule, setting
from livecomments.runtime.shared_settings import StaleSettings

_LINGER_MAX_MS: Final = 200
"""The promise to viewers."""


@dataclass(frozen=True, kw_only=True)
class HubSettings(StaleSettings):
    """The hub's part of the settings."""

    viewers_per_address_max: int = setting(
        0, "Streams of one address; 0: no bound, as behind a proxy it must be.", NOT_NEGATIVE
    )
    viewers_max: int = setting(
        20_000,
        "Streams in one process, or as many as open files allow; beyond it a new one is told to come back.",
        POSITIVE,
    )
    heartbeat_interval_s: float = setting(15.0, "Between heartbeats on a silent stream.", POSITIVE)
    viewer_life_s: float = setting(
        1_200.0, "A stream is ended after about this long, and comes back elsewhere.", POSITIVE
    )
    viewer_stuck_s: float = setting(20.0, "A viewer that takes no bytes this long is disconnected.", POSITIVE)
    linger_min_ms: int = setting(25, "Comments of a busy video are joined for at least this long.")
    linger_max_ms: int = setting(100, "Comments of a busy video are joined for at most this long.")

    @property
    def linger_min_s(self) -> float:
        """The shortest linger, in seconds."""
        return self.linger_min_ms / 1_000

    @property
    def linger_max_s(self) -> float:
        """The longest linger, in seconds."""
        return self.linger_max_ms / 1_000

    def rules(self) -> list[Rule]:
        """Return all rules: the linger keeps the promise, and staleness is told before the next heartbeat but one."""
        return [
            *super().rules(),
            (
                "linger_max_ms",
                0 < self.linger_min_ms <= self.linger_max_ms <= _LINGER_MAX_MS,
                f"must be between LIVECOMMENTS_LINGER_MIN_MS and {_LINGER_MAX_MS}, which is the promise to viewers",
            ),
            (
                "stale_after_s",
                self.stale_after_s < self.heartbeat_interval_s * 2,
                "must be less than two heartbeats, or a frozen video looks alive",
            ),
        ]
