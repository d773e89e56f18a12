"""Appending, and what the answer means: acked, rejected, or unknown.

A record counts once our own follower has judged it: its verdict is everybody's verdict. So two gateways that race with
one Idempotency-Key both answer with the comment that survives, and no id is ever answered that others will not see.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.history.reading import History
from livecomments.log.epochs import AlwaysAllowed, Permission
from livecomments.log.interface import AppendRefused, AppendUnavailable, AppendUnknown
from livecomments.runtime.metrics import HOLDS, SECONDS_BUCKETS, BulkHistogram, Counter, Reading
from livecomments.runtime.single_flight import SingleFlight
from livecomments.store.interface import StoreUnavailable
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.copies import Copy, check_age, first_copy, is_preceded
from livecomments_gateway.counting import Counting
from livecomments_gateway.facts import MODERATE, VideoNotFoundRejected, shown_roles
from livecomments_gateway.holding import Holding
from livecomments_gateway.identity import Identity
from livecomments_gateway.tracing import PostTrace
from livecomments_gateway.videos import Videos
from livecomments_gateway.word_list import NO_WORDS, WordList
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import NewRecord, comment_created, comment_deleted
from livecomments_schemas.judge import FENCED, Kind, Verdict
from livecomments_schemas.positions import COMMENT_ID_CHARS, comment_id, parse_cursor, position_at
from livecomments_schemas.render import render_comment

T = TypeVar("T")

NO_LIMITS: Final = AdmissionLimits()
_UNKNOWN: Final = "It may be written or not. Say it again: saying it twice changes nothing."
_UNKNOWN_COMMENT: Final = "The comment may be written or not. Retry with the same Idempotency-Key."
_UNKNOWN_DELETE: Final = "The comment may be deleted or not. Delete it again."
ALWAYS_ALLOWED: Final = AlwaysAllowed()

_comments = Counter("livecomments_gateway_comments_total", "Comments posted, by answer.", ["result"])
_created, _unknown = _comments.labels("created"), _comments.labels("unknown")
_in_flight = Reading("livecomments_gateway_appends_in_flight", "Appends under way.", fresh_s=HOLDS)
_in_flight_most = Reading(
    "livecomments_gateway_appends_in_flight_max", "Appends under way beyond which 503 overloaded.", fresh_s=HOLDS
)
_fenced = Counter("livecomments_gateway_fenced_total", "Appends behind the end of an epoch, repeated in the next one.")
_append = BulkHistogram(
    "livecomments_gateway_append_seconds", "From append to acknowledgement.", buckets=SECONDS_BUCKETS
)
_judged = BulkHistogram(
    "livecomments_gateway_judged_seconds", "From acknowledgement to verdict.", buckets=SECONDS_BUCKETS
)


class KeyConflictRejected(Rejected):
    """The Idempotency-Key was used for another comment."""

    code = "idempotency_conflict"


class VideoEndedRejected(Rejected):
    """Comments are closed: the video has ended."""

    code = "video_ended"


class CommentNotFoundRejected(Rejected):
    """No comment of this video has this id."""

    code = "comment_not_found"


class CommentDeletedRejected(Rejected):
    """The comment was deleted."""

    code = "comment_deleted"


class NotTheAuthorRejected(Rejected):
    """Only its author, or a moderator, may delete a comment."""

    code = "not_the_author"


class _Fenced(Exception):
    """The epoch ended before the record, which counts nowhere."""


class NewComment(NamedTuple):
    """A comment to append, checked but for what only the log can tell."""

    message: str
    """In normal form (`clean_message`)."""
    video_time_ms: int | None = None
    key: str | None = None
    """The Idempotency-Key, repeated by a retry."""
    after: str | None = None
    """A comment id, of this video's partition, that the writer had seen before the first try."""
    traceparent: str | None = None
    """W3C trace context, checked by the caller."""
    trace: PostTrace | None = None
    """Its spans, if it is traced."""


class Posting:
    """Writes of one gateway. `timeout_s`: from append to verdict; `in_flight_max`: appends under way at once."""

    def __init__(
        self,
        follower: Follower,
        history: History,
        *,
        timeout_s: float,
        in_flight_max: int,
        limits: AdmissionLimits = NO_LIMITS,
        words: WordList = NO_WORDS,
        only_registered: bool = False,
        permission: Permission = ALWAYS_ALLOWED,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.videos = Videos(follower, history)
        self._counting = Counting(follower, limits, clock)
        self._history = history
        self._words = words
        self._only_registered = only_registered
        self._follower = follower
        self._holding = Holding(follower, in_flight_max, clock)
        self._permission = permission
        self._timeout_s = timeout_s
        self._in_flight_max = in_flight_max
        _in_flight_most.set(in_flight_max)
        _in_flight.set(0)
        self._in_flight = 0
        _in_flight.set_function(lambda: self._in_flight)
        self._clock = clock
        self._deletes = SingleFlight[tuple[str, int], tuple[int, Verdict]]()

    async def post(self, video_id: str, identity: Identity, new: NewComment) -> bytes:
        """Append a comment; returns its public JSON.

        A retry with its key returns the first one's, as long as no more than DEDUPE_WINDOW_RECORDS records of its
        partition lie between. One that says what was seen before the first try is refused when there may be more.

        Raises:
            CursorRejected: `after` is no comment id of this partition.
            RetryTooOldRejected, KeyConflictRejected, VideoEndedRejected, CommentDeletedRejected, UserBannedRejected,
            WritersRejected, VideoNotFoundRejected, LimitRejected leaves, MessageRefusedRejected: nothing was written.
            AppendUnavailable, PartitionUnavailable, LogUnavailable, StoreUnavailable: nothing was written; try again.
            AppendUnknown: may be written; try again with the same key.
            ContractUnavailable: nothing is written for now.
            LogWentBackUnavailable: nothing is written here any more.
        """
        try:
            return await self._where_open(video_id, lambda followed: self._post(followed, video_id, identity, new))
        except AppendUnknown:
            _unknown.inc()
            raise

    async def _post(self, followed: FollowedPartition, video_id: str, identity: Identity, new: NewComment) -> bytes:
        """Do as `post` in the video's partition of an epoch. Raises _Fenced: the epoch ended meanwhile."""
        after = None if new.after is None else parse_cursor(new.after, followed.home)
        record = comment_created(
            video_id,
            new.message,
            identity.author,
            created_at_ms=time.time_ns() // 1_000_000,
            roles=shown_roles(identity),
            video_time_ms=new.video_time_ms,
            key=new.key,
            traceparent=new.traceparent,
        )
        log = self._follower.log
        if (before := first_copy(log, followed, video_id, record)) is not None:
            return await self._surviving(followed, video_id, record, before)
        try:
            check_age(followed, after)
            await self._check(followed, video_id, identity, new.message)
        except Rejected:
            if new.key is None:
                raise
            # Its first copy may have come through another gateway, further on than we have read.
            await self._read_on(followed)
            if (before := first_copy(log, followed, video_id, record)) is not None:
                return await self._surviving(followed, video_id, record, before)
            check_age(followed, after)
            await self._check(followed, video_id, identity, new.message)
        offset, verdict = await self._append(followed, record, _UNKNOWN_COMMENT, new.trace)
        if verdict.kind is Kind.DUPLICATE:
            assert verdict.survivor is not None
            survivor = Copy(followed.window, log, verdict.survivor)
            return await self._surviving(followed, video_id, record, survivor)
        if verdict.kind is Kind.VOID:
            raise VideoEndedRejected(_ENDED)
        assert verdict.kind is Kind.ACCEPTED, verdict.reason
        _created.inc()
        return render_comment(comment_id(position_at(followed.epoch, offset), followed.number), record.value)

    async def _where_open(self, video_id: str, act: Callable[[FollowedPartition], Awaitable[T]]) -> T:
        """Act in the partition in which a video's records are appended now; again, in the next epoch, if that ended.

        Raises:
            AppendUnavailable: the epoch has ended, and the next one was not open in time; nothing was written.
            What `act` raises.
        """
        held_until = asyncio.get_running_loop().time() + self._timeout_s
        while True:
            self._follower.continuity.check()
            followed = self._history.home(video_id)
            if followed.window.fence is not None:
                await self._holding.wait(held_until)
                continue
            try:
                return await act(followed)
            except _Fenced:
                continue

    async def _read_on(self, followed: FollowedPartition) -> None:
        """Wait until our follower has judged all that the log holds now, so that no refusal rests on old knowledge.

        Raises:
            PartitionUnavailable, LogUnavailable: try again.
        """
        await self._history.reach(followed, await self._history.newest(followed.number))

    async def _check(self, followed: FollowedPartition, video_id: str, identity: Identity, message: str) -> None:
        """Check that this person may write here now. For certain only the record's verdict says that the video goes on.

        Raises:
            Rejected leaves: nothing is to be written.
            StoreUnavailable, PartitionUnavailable: try again.
        """
        facts = await self.videos.facts(video_id)
        if facts.is_ended or followed.window.is_ended(video_id, followed.next_offset):
            raise VideoEndedRejected(_ENDED)
        if self._only_registered and not facts.is_known:
            if not facts.is_whole:
                raise StoreUnavailable("Whether there is such a video cannot be read just now. Try again in a second.")
            raise VideoNotFoundRejected("There is no such video here.")
        facts.check_writer(identity)
        if MODERATE not in identity.roles:
            self._counting.check(followed, video_id, identity.author.id, message, facts.settings)
            self._words.check(message)

    async def find(self, video_id: str, id_text: str) -> tuple[bytes, str]:
        """Return a comment's public JSON and its author's id.

        Raises:
            CursorRejected: `id_text` is no id of this video's.
            CommentNotFoundRejected, CommentDeletedRejected
            Unavailable leaves: try again.
        """
        followed = self._history.home(video_id)
        return await self._find(followed, video_id, parse_cursor(id_text, followed.home))

    async def _find(self, followed: FollowedPartition, video_id: str, position: int) -> tuple[bytes, str]:
        found = await self._history.find(followed, video_id, position)
        if found.deleted:
            raise CommentDeletedRejected("This comment was deleted.")
        if found.entry is None:
            raise CommentNotFoundRejected(f"This video has no such comment. Ids have {COMMENT_ID_CHARS} characters.")
        return found.entry.rendered(), found.entry.author_id

    async def delete(self, video_id: str, id_text: str, identity: Identity) -> None:
        """Delete a comment; deleting it again changes nothing.

        Raises:
            NotTheAuthorRejected, and what `find` and `post` raise.
        """
        followed = self._history.home(video_id)
        target = parse_cursor(id_text, followed.home)
        try:
            _, author_id = await self._find(followed, video_id, target)
        except CommentDeletedRejected:
            return  # a delete that was read, here or by the stream job, and nothing undoes one
        if author_id != identity.author.id and MODERATE not in identity.roles:
            raise NotTheAuthorRejected("Only its author or a moderator can delete a comment.")
        record = comment_deleted(video_id, id_text, identity.author.id)
        # Single flight: a button that is pressed often, or a crowd of moderators, writes one record.
        await self._deletes.join((video_id, target), lambda: self.append(video_id, record, _UNKNOWN_DELETE))

    async def append(self, video_id: str, record: NewRecord, unknown: str = _UNKNOWN) -> tuple[int, Verdict]:
        """Append a record of a video and wait for its verdict; returns the record's offset and the verdict.

        One that came too late for its epoch is appended to the next: it is never answered and void.

        Args:
            unknown: the text of AppendUnknown, which tells the caller of this call what to do.

        Raises:
            AppendUnavailable: not written; try again. AppendUnknown: written or not.
            ContractUnavailable: nothing is written for now.
            LogWentBackUnavailable: the log would give ids a second time; nothing is written here any more.
        """
        return await self._where_open(video_id, lambda followed: self._append(followed, record, unknown))

    async def _append(
        self, followed: FollowedPartition, record: NewRecord, unknown: str, trace: PostTrace | None = None
    ) -> tuple[int, Verdict]:
        """Do as `append` in a partition. Raises _Fenced: the epoch ended before the record, which counts nowhere."""
        if followed.window.fence is not None:
            raise _Fenced
        continuity, expected = self._follower.continuity, followed.next_offset
        continuity.check()
        self._permission.check()
        if self._in_flight >= self._in_flight_max:
            raise AppendUnavailable("Too many comments are being written at once. Try again in a second.")
        self._in_flight += 1
        began_at = self._clock()
        try:
            record = record if trace is None else trace.begin_append(record, followed.number)
            offset = await self._follower.log.append(followed.number, record)
            acked_at = self._clock()
            if trace is not None:
                trace.note_acked(offset)
            _append.observe(acked_at - began_at)
            if offset < expected:
                continuity.note("an append came before what was read", partition=followed.number, offset=offset)
                continuity.check()
            verdict = await followed.verdict(offset, max(0.0, began_at + self._timeout_s - acked_at))
            if trace is not None:
                trace.note_judged(verdict.kind.value)
            if verdict is FENCED:
                _fenced.inc()
                raise _Fenced
            _judged.observe(self._clock() - acked_at)
            read = followed.tail.find(position_at(followed.epoch, offset))
            if read is not None and read.value not in (record.value, b""):  # without its text it was deleted already
                continuity.note("another record stands at an append's place", partition=followed.number, offset=offset)
            continuity.check()
            self._permission.confirm()
            return offset, verdict
        except AppendRefused as error:
            if await self._has_ended(followed):
                _fenced.inc()
                raise _Fenced from error
            raise
        except (TimeoutError, AppendUnknown) as error:
            raise AppendUnknown(unknown) from error
        finally:
            self._in_flight -= 1

    async def _has_ended(self, followed: FollowedPartition) -> bool:
        """Tell whether Kafka refuses a record because the epoch ended there: whoever ends one lets it take no more."""
        if followed.window.fence is None:
            with suppress(Unavailable):
                await self._read_on(followed)
        return followed.window.fence is not None

    async def _surviving(self, followed: FollowedPartition, video_id: str, record: NewRecord, before: Copy) -> bytes:
        if before.found.digest != record.headers["digest"]:
            raise KeyConflictRejected("This Idempotency-Key was used for another comment. Use a new key for a new one.")
        if before.found.void:
            raise VideoEndedRejected(_ENDED)
        position = before.position
        try:
            is_first = not await is_preceded(before, record)
            value = await self._value_at(followed, video_id, position) if is_first else None
        except Unavailable as error:
            raise AppendUnknown(
                f"The first comment with this key is written, but cannot be read now. {error}"
            ) from error
        if value is None:
            raise AppendUnknown("The first comment with this key is too old to be found. It is written.")
        if not value:
            raise CommentDeletedRejected("The comment that was posted with this key has been deleted since.")
        _comments.labels("repeated").inc()
        return render_comment(followed.id_at(video_id, position), value)

    async def _value_at(self, followed: FollowedPartition, video_id: str, position: int) -> bytes | None:
        """Read the value of a comment as it is now: empty once it is deleted, None if it is not kept."""
        entries = (await self._history.forward(followed, video_id, position - 1, 1, around_store=True)).entries
        return entries[0].value if entries and entries[0].position == position else None


_ENDED: Final = "The video has ended; comments are closed."
