"""Who does what when, from the seed alone: the posts of every video, and each viewer's start and drops.

Times are seconds since the start of the run. Posts come lazily, so that a run of a million needs no list of them.
"""

import heapq
import random
from collections.abc import Iterator
from enum import StrEnum
from itertools import groupby, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from livecomments_loadtest.plan import LoadPlan, PlanRejected
from livecomments_schemas.limits import HISTORY_ON_JOIN_MAX, PAGE_SIZE_MAX

LATER_S_MAX: Final = 5.0
"""For later repeats and deletes: well inside the dedupe window of a partition with 1,000 records a second (16 s).
A short run has shorter ones, so that they belong to the run and not to its end."""

LATER_SHARE_MAX: Final = 0.2
AWAY_S_MAX: Final = 15.0
"""How long a dropped viewer stays away at most; two seconds on average."""


class ChatLine(NamedTuple):
    """`offset_s` since the start of the chat; `author` counts from 0 in the order of first appearance."""

    offset_s: float
    author: int
    message: str


class ScheduledPost(NamedTuple):
    """One comment to write. `repeat_after_s` 0 means: twice at once; both times None: not at all."""

    n: int
    at_s: float
    video: int
    session: int
    message: str
    repeat_after_s: float | None
    delete_after_s: float | None


class Mode(StrEnum):
    """How a viewer comes in."""

    LIVE = "live"
    HISTORY = "history"
    PAGE = "page"


class Drop(NamedTuple):
    """One cut: `after_s` on the connection; `mid_event`: in the middle of one; back after `away_s`."""

    after_s: float
    mid_event: bool
    away_s: float
    by_after: bool
    """Come back with `?after=`, else with `Last-Event-ID`."""


class ViewerScript(NamedTuple):
    """One viewer: `size` is N of `history=N`, or the page's size."""

    n: int
    video: int
    starts_at_s: float
    mode: Mode
    size: int
    seed: str

    def drops(self, drops_a_minute: float) -> Iterator[Drop]:
        """Yield this viewer's drops, for ever; none when the rate is 0."""
        rng = random.Random(self.seed)  # noqa: S311 - a reproducible schedule, no secret
        while drops_a_minute > 0:
            yield Drop(
                after_s=rng.expovariate(drops_a_minute / 60),
                mid_event=rng.random() < 0.5,
                away_s=min(rng.expovariate(1 / 2), AWAY_S_MAX),
                by_after=rng.random() < 0.3,
            )


def read_chat(path: Path) -> list[ChatLine]:
    """Read the chat; spread comments of one moment evenly over the second after it (the source has whole seconds).

    Raises:
        PlanRejected: no such file, not in time order, or empty.
    """
    try:
        raw = [orjson.loads(line) for line in path.read_bytes().split(b"\n") if line]
        lines = [(int(line["offsetMs"]), str(line["author"]), str(line["message"])) for line in raw]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise PlanRejected(f"chat: {path} is no file of comments, one JSON object a line ({error!r})") from error
    if not lines or any(later[0] < earlier[0] for earlier, later in pairwise(lines)):
        raise PlanRejected(f"chat: {path} is empty or not in time order")
    authors: dict[str, int] = {}
    chat: list[ChatLine] = []
    for offset_ms, group in groupby(lines, key=lambda line: line[0]):
        together = list(group)
        for k, (_, author, message) in enumerate(together):
            number = authors.setdefault(author, len(authors))
            chat.append(ChatLine(offset_ms / 1000 + k / len(together), number, message))
    return chat


def duration_s(plan: LoadPlan, chat: list[ChatLine]) -> float:
    """Return when the last post is due, in seconds from the first, to within one line of the chat."""
    longest = -(-plan.comments // plan.videos)
    return longest / len(chat) * _cycle_s(chat) / plan.speed


def posts(plan: LoadPlan, chat: list[ChatLine]) -> Iterator[ScheduledPost]:
    """Yield all posts of the run in time order, `plan.comments` of them."""
    merged = heapq.merge(*(_video_lines(plan, chat, video) for video in range(plan.videos)))
    rng = random.Random(f"{plan.seed}:posts")  # noqa: S311 - a reproducible schedule, no secret
    later_s_max = min(LATER_S_MAX, LATER_SHARE_MAX * duration_s(plan, chat))
    for n, (at_s, video, line) in enumerate(merged):
        repeat_after_s = delete_after_s = None
        # A comment is repeated or deleted, never both: what a repeat of a deleted one gets is no part of this check.
        dice = rng.random()
        if dice < plan.repeat_share:
            repeat_after_s = 0.0 if rng.random() < 0.5 else rng.uniform(0.01, 1.0) * later_s_max
        elif dice < plan.repeat_share + plan.delete_share:
            delete_after_s = rng.random() * later_s_max
        session = line.author % plan.authors_max
        yield ScheduledPost(n, at_s, video, session, line.message, repeat_after_s, delete_after_s)


def viewers(plan: LoadPlan, lasts_s: float) -> list[ViewerScript]:
    """Return the viewers' scripts: about half start within 1 s, the others within 80 % of `lasts_s`."""
    scripts = []
    for n in range(plan.viewers):
        rng = random.Random(f"{plan.seed}:viewer:{n}")  # noqa: S311 - a reproducible schedule, no secret
        starts_at_s = rng.uniform(0, min(1.0, lasts_s) if rng.random() < 0.5 else lasts_s * 0.8)
        mode = rng.choice(list(Mode))
        size = rng.randint(1, HISTORY_ON_JOIN_MAX if mode is Mode.HISTORY else PAGE_SIZE_MAX)
        scripts.append(ViewerScript(n, n % plan.videos, starts_at_s, mode, size, f"{plan.seed}:drops:{n}"))
    return scripts


def _video_lines(plan: LoadPlan, chat: list[ChatLine], video: int) -> Iterator[tuple[float, int, ChatLine]]:
    """Yield one video's share of the comments: the chat, from a place of the video's own, round and round."""
    count = plan.comments // plan.videos + (video < plan.comments % plan.videos)
    first = random.Random(f"{plan.seed}:video:{video}").randrange(len(chat))  # noqa: S311 - a reproducible schedule
    cycle_s = _cycle_s(chat)
    for k in range(first, first + count):
        rounds, at = divmod(k, len(chat))
        since_first = rounds * cycle_s + chat[at].offset_s - chat[first].offset_s
        yield since_first / plan.speed, video, chat[at]


def _cycle_s(chat: list[ChatLine]) -> float:
    """Return the seconds from one start of the chat to the next: a second longer than to its last line."""
    return chat[-1].offset_s + 1.0
