"""What can be configured of the stream job."""

from dataclasses import dataclass

from livecomments.runtime.settings import NOT_NEGATIVE, Settings, setting


@dataclass(frozen=True, kw_only=True)
class PersistSettings(Settings):
    """What is configured wherever records are stored, embedded too."""

    persist_delay_s: float = setting(0.0, "Hold records back this long before storing them, for drills.", NOT_NEGATIVE)


@dataclass(frozen=True, kw_only=True)
class GroupSettings(Settings):
    """What is configured where Kafka gives the partitions."""

    group: str = setting("livecomments-stream", "Consumer group of the stream job.")
