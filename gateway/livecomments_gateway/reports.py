"""Reports: what viewers say against comments, and what moderators make of it. Records of the log, as bans and pins are.

What is reported is no state that is kept: it is folded from the newest records of a video's reports whenever somebody
asks, so every gateway and a replay see the same, and an attack on reports costs no memory.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import orjson

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import BEGINNING, REPORTS, History
from livecomments.runtime.single_flight import SingleFlight
from livecomments_gateway.admission import LimitRejected
from livecomments_gateway.facts import MODERATE, OWN, UserBannedRejected
from livecomments_gateway.identity import Identity
from livecomments_gateway.owning import check_role
from livecomments_gateway.posting import CommentDeletedRejected, CommentNotFoundRejected, Posting
from livecomments_schemas.events import COMMENT_REPORTED, comment_reported, reports_dismissed, timestamp
from livecomments_schemas.positions import parse_cursor

REPORTS_READ_MAX: Final = 2_000
"""Records of one video's reports that count, the newest: two reads of the store. What is older is forgotten."""
OF_PERSON_MAX: Final = 20
"""Comments that one person may report under a video in an hour: more than anybody in earnest, in a flood too."""
OF_COMMENT_MAX: Final = 50
"""People who are counted for one comment: more change nothing, since it stands before the moderators already."""
FOUND_MAX: Final = 200
"""Comments looked up for one page. Where most of them are deleted, a page may be short."""
_READ_ROWS: Final = 1_000
_HOUR_S: Final = 3_600


class ReportLimitRejected(LimitRejected):
    """This person reports more than one can have read."""

    code = "report_limit"


class FirstReport(NamedTuple):
    """The first report of one person for one comment."""

    position: int
    position_id: str
    reason: str
    at_ms: int


class Reported(NamedTuple):
    """What is said against one comment."""

    comment_id: str
    by: dict[str, FirstReport]
    """By whom, whether it was dismissed since or not."""
    dismissed_at: int
    """Reports up to here count no more."""

    @property
    def open(self) -> list[FirstReport]:
        """The reports that count, in the order of the log."""
        return sorted(report for report in self.by.values() if report.position > self.dismissed_at)


class ReportsPage(NamedTuple):
    """Comments with their reports, the one reported last first. `next_cursor`: None at the end."""

    reports: list[tuple[bytes, list[FirstReport]]]
    next_cursor: str | None

    def rendered(self) -> bytes:
        """Return its public JSON."""
        reports = [
            {
                "comment": orjson.Fragment(comment),
                "count": len(reports),
                "reasons": dict(sorted(Counter(report.reason for report in reports).items())),
                "reportedAt": timestamp(reports[-1].at_ms),
            }
            for comment, reports in self.reports
        ]
        return orjson.dumps({"reports": reports, "nextCursor": self.next_cursor})


def fold(entries: Iterable[Entry]) -> dict[str, Reported]:
    """Join records of a video's reports, by comment. Their order does not matter, nor does it if one comes twice."""
    by: dict[str, dict[str, FirstReport]] = {}
    dismissed: dict[str, int] = {}
    for entry in entries:
        said = orjson.loads(entry.value)
        of = said["commentId"]
        people = by.setdefault(of, {})
        if entry.kind != COMMENT_REPORTED:
            dismissed[of] = max(entry.position, dismissed.get(of, 0))
        elif entry.author_id not in people or entry.position < people[entry.author_id].position:
            people[entry.author_id] = FirstReport(
                entry.position, entry.comment_id, said["reason"], entry.appended_at_ms
            )
    return {of: Reported(of, people, dismissed.get(of, 0)) for of, people in by.items()}


class Reports:
    """The reports of one gateway's videos. `clock`: Unix seconds, only held against those of the log."""

    def __init__(self, history: History, posting: Posting, *, clock: Callable[[], float] = time.time) -> None:
        self._history = history
        self._posting = posting
        self._clock = clock
        self._reads = SingleFlight[tuple[str, int], dict[str, Reported]]()
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        """One report of a person at a time: a burst of them would pass the limit together."""

    async def report(self, video_id: str, id_text: str, reason: str, identity: Identity) -> None:
        """Report a comment. Reporting it again changes nothing, with another reason neither.

        Raises:
            UserBannedRejected, ReportLimitRejected, and what `Posting.find` raises of a comment that is not there:
            nothing was written.
            Unavailable leaves: written or not; the call may be repeated.
        """
        person = identity.author.id
        if (await self._posting.videos.facts(video_id)).is_banned(person):
            raise UserBannedRejected("You cannot report under this video any more.")
        await self._posting.find(video_id, id_text)
        turn = self._turns.setdefault((video_id, person), asyncio.Lock())
        async with turn:
            followed = self._history.home(video_id)
            reported = await self._read(followed, video_id)
            of = reported.get(id_text)
            if of is not None and person not in of.by and len(of.open) >= OF_COMMENT_MAX:
                # They may have been dismissed through another gateway, further on than we have read.
                await self._history.reach(followed, await self._history.newest(followed.number))
                reported = await self._read(followed, video_id)
                of = reported.get(id_text)
            if of is not None and (person in of.by or len(of.open) >= OF_COMMENT_MAX):
                return
            self._check_limit(one.by[person] for one in reported.values() if person in one.by)
            await self._posting.append(video_id, comment_reported(video_id, id_text, reason, person))

    async def dismiss(self, video_id: str, id_text: str, identity: Identity) -> None:
        """Let the reports of a comment up to now count no more.

        Raises:
            RoleRejected, and what `Posting.find` raises of a comment that is not there: nothing was written.
            Unavailable leaves: written or not; the call may be repeated.
        """
        check_role(identity, MODERATE, OWN)
        await self._posting.find(video_id, id_text)
        await self._posting.append(video_id, reports_dismissed(video_id, id_text, identity.author.id))

    async def read_page(self, video_id: str, cursor: str | None, limit: int, identity: Identity) -> ReportsPage:
        """Read which comments have reports that count, the one reported last first.

        Raises:
            RoleRejected, CursorRejected
            Unavailable leaves: try again.
        """
        check_role(identity, MODERATE, OWN)
        followed = self._history.home(video_id)
        before = parse_cursor(cursor, followed.home) if cursor else followed.judged_through + 1
        reported = await self._read(followed, video_id)
        listed = [(one, reports) for one in reported.values() if (reports := one.open)]
        listed = [(one, reports) for one, reports in listed if reports[-1].position < before]
        listed.sort(key=lambda each: each[1][-1].position, reverse=True)
        page: list[tuple[bytes, list[FirstReport]]] = []
        for looked_up, (one, reports) in enumerate(listed, 1):
            try:
                page.append(((await self._posting.find(video_id, one.comment_id))[0], reports))
            except (CommentDeletedRejected, CommentNotFoundRejected):
                pass
            if looked_up < len(listed) and (len(page) == limit or looked_up == FOUND_MAX):
                return ReportsPage(page, reports[-1].position_id)
        return ReportsPage(page, None)

    async def _read(self, followed: FollowedPartition, video_id: str) -> dict[str, Reported]:
        """Read what holds now, from store, log and tail. Not to be changed: who asks at the same moment shares it."""

        async def read() -> dict[str, Reported]:
            entries: list[Entry] = []
            before = followed.judged_through + 1
            while before > BEGINNING and len(entries) < REPORTS_READ_MAX:
                rows = min(_READ_ROWS, REPORTS_READ_MAX - len(entries))
                found, before, _ = await self._history.backward(followed, video_id, before, rows, REPORTS)
                entries += found
            return fold(entries)

        return await self._reads.join((video_id, followed.judged_through), read)

    def _check_limit(self, own: Iterable[FirstReport]) -> None:
        """Check that this person may report one more. Raises ReportLimitRejected."""
        now = self._clock()
        lately = sorted(report.at_ms / 1000 for report in own if report.at_ms / 1000 > now - _HOUR_S)
        if len(lately) >= OF_PERSON_MAX:
            raise ReportLimitRejected(
                f"You have reported {OF_PERSON_MAX} comments within an hour. Moderators see them.",
                policy="reports",
                limit=OF_PERSON_MAX,
                period_s=_HOUR_S,
                wait_s=lately[-OF_PERSON_MAX] + _HOUR_S - now,
            )
