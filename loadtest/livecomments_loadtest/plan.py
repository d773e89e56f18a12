"""What one run is to do: the plan, checked before anything is sent."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from livecomments_loadtest.client import is_url


class PlanRejected(ValueError):
    """The plan asks for something that makes no sense; the text names every problem at once."""


@dataclass(frozen=True, kw_only=True)
class LoadPlan:
    """One run. The same plan with the same seed schedules the same posts, drops and deletes at the same moments.

    `tag` is the exception: it is fresh for every run and part of every video id and idempotency key, so that a run
    against a deployment that keeps its data starts with empty videos.
    """

    url: str
    """Where the deployment listens: scheme, host, port and, behind a proxy, a path in front of `/comments`."""

    chat: Path
    """The chat to play, one comment a line: `offsetMs`, `author`, `message`, in time order."""

    videos: int = 20
    viewers: int = 200
    comments: int = 20_000
    """How many comments over all videos; each video plays the chat from its own place and cycles."""

    speed: float = 10.0
    """How many times faster than it was the chat is played in each video. The real chat has about one a second."""

    seed: int = 1
    authors_max: int = 200
    """Sessions opened at the start; the chat's authors share them."""

    drop_rate: float = 1.0
    """How often a minute a viewer's connection is cut, on average."""

    delete_share: float = 0.02
    """Share of the comments that their author deletes again."""

    repeat_share: float = 0.05
    """Share of the POSTs sent twice with the same key: half of them at once, half of them later."""

    deadline_s: float = 120.0
    """Seconds after the last scheduled post in which every POST must be answered and every viewer must catch up."""

    connections_max: int = 128
    """Posting connections, kept alive; also how many comments may wait for their answer at once."""

    metrics: tuple[str, ...] = ()
    """Where `/metrics` is, an address for each process, when it is not at `url`."""

    tag: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        problems = [
            f"{name} must be {wanted}"
            for name, good, wanted in (
                ("url", is_url(self.url), "an http:// or https:// address"),
                ("metrics", all(map(is_url, self.metrics)), "http:// or https:// addresses"),
                ("videos", self.videos >= 1, "at least 1"),
                ("viewers", self.viewers >= 0, "0 or more"),
                ("comments", self.comments >= 1, "at least 1"),
                ("speed", self.speed > 0, "more than 0"),
                ("authors_max", self.authors_max >= 1, "at least 1"),
                ("drop_rate", self.drop_rate >= 0, "0 or more"),
                ("delete_share", 0 <= self.delete_share <= 1, "between 0 and 1"),
                ("repeat_share", 0 <= self.repeat_share <= 1, "between 0 and 1"),
                ("deadline_s", self.deadline_s > 0, "more than 0"),
                ("connections_max", self.connections_max >= 2, "at least 2: some POSTs are sent twice at once"),
            )
            if not good
        ]
        if problems:
            raise PlanRejected("; ".join(problems))

    def video_id(self, video: int) -> str:
        """Return the id of the run's `video`-th video, from 0."""
        return f"load-{self.tag}-{video}"

    def idempotency_key(self, n: int) -> str:
        """Return the idempotency key of the `n`-th scheduled post, from 0, the same for all its tries."""
        return f"load-{self.tag}-{n}"
