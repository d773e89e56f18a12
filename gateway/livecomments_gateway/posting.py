"""Appending, and what the answer means: acked, rejected, or unknown.

A record counts once our own follower has judged it: its verdict is everybody's verdict. So two gateways that race with
one Idempotency-Key both answer with the comment that survives, and no id is ever answered that others will not see.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple
from weakref import WeakSet

import orjson

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Entry
from livecomments.history.reading import History
from livecomments.log.epochs import AlwaysAllowed, Permission
from livecomments.log.interface import AppendUnavailable, AppendUnknown
from livecomments.runtime.metrics import SECONDS_BUCKETS, Counter, Gauge, Histogram
from livecomments.runtime.single_flight import SingleFlight
from livecomments.store.interface import StoreUnavailable
from livecomments_gateway.admission import Admission, AdmissionLimits
from livecomments_gateway.facts import MODERATE, SLOW_MODE_MAX_S, VideoNotFoundRejected
from livecomments_gateway.identity import Identity
from livecomments_gateway.videos import Videos
from livecomments_gateway.word_list import NO_WORDS, WordList
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import COMMENT_CREATED, NewRecord, Record, comment_created, comment_deleted
from livecomments_schemas.judge import Kind, Verdict
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import (
    BEFORE_EVERYTHING,
    COMMENT_ID_CHARS,
    comment_id,
    parse_cursor,
    position_at,
)
from livecomments_schemas.render import render_comment
from livecomments_schemas.window import Occurrence

NO_LIMITS: Final = AdmissionLimits()
_UNKNOWN: Final = "It may be written or not. Say it again: saying it twice changes nothing."
_UNKNOWN_COMMENT: Final = "The comment may be written or not. Retry with the same Idempotency-Key."
_UNKNOWN_DELETE: Final = "The comment may be deleted or not. Delete it again."
_RETRY_RECORDS_MAX: Final = DEDUPE_WINDOW_RECORDS - 1_024
"""Behind what a retry says it has seen. The window is larger by what may be appended before the retry is: a second of a
partition at its busiest."""
ALWAYS_ALLOWED: Final = AlwaysAllowed()

_comments = Counter("livecomments_gateway_comments_total", "Comments posted, by answer.", ["result"])
_created = _comments.labels("created")
_in_flight = Gauge("livecomments_gateway_appends_in_flight", "Appends under way.")
_in_flight_most = Gauge("livecomments_gateway_appends_in_flight_max", "Appends under way beyond which 503 overloaded.")
_append = Histogram("livecomments_gateway_append_seconds", "From append to acknowledgement.", buckets=SECONDS_BUCKETS)
_judged = Histogram("livecomments_gateway_judged_seconds", "From acknowledgement to verdict.", buckets=SECONDS_BUCKETS)


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


class RetryTooOldRejected(Rejected):
    """A retry whose first try may have left the window: whether it was written cannot be told any more."""

    code = "retry_too_old"


class NotTheAuthorRejected(Rejected):
    """Only its author, or a moderator, may delete a comment."""

    code = "not_the_author"


class NewComment(NamedTuple):
    """What somebody wants to say."""

    message: str
    """In normal form (`clean_message`)."""
    video_time_ms: int | None = None
    key: str | None = None
    """The Idempotency-Key: a retry has the same."""
    after: str | None = None
    """A comment id, of this video's partition, that the writer had seen before the first try."""
    traceparent: str | None = None
    """W3C trace context, checked by the caller."""


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
        self._admission = Admission(limits)
        self._counted: WeakSet[FollowedPartition] = WeakSet()  # one that was let go must not stay in memory
        self._counted_through: dict[int, int] = {}
        follower.listeners.append(self._count)
        follower.back_listeners.append(self._count_before)
        self._epoch = follower.log.epoch
        self._counted_s = max(SLOW_MODE_MAX_S, limits.user_period_s, limits.duplicate_text_s)
        self._history = history
        self._words = words
        self._only_registered = only_registered
        self._log, self._continuity = follower.log, follower.continuity
        self._permission = permission
        self._timeout_s = timeout_s
        self._in_flight_max = in_flight_max
        _in_flight_most.set(in_flight_max)
        self._in_flight = 0
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
        self._continuity.check()
        followed = self._history.home(video_id)
        after = None if new.after is None else parse_cursor(new.after, followed.home)
        record = comment_created(
            video_id,
            new.message,
            identity.author,
            created_at_ms=time.time_ns() // 1_000_000,
            video_time_ms=new.video_time_ms,
            key=new.key,
            traceparent=new.traceparent,
        )
        with _unknown_counted():
            if (before := _first_copy(followed, video_id, record)) is not None:
                return await self._surviving(followed, video_id, record, before)
            try:
                _check_age(followed, after)
                await self._check(followed, video_id, identity, new.message)
            except Rejected:
                if new.key is None:
                    raise
                # Its first copy may have come through another gateway, further on than we have read.
                await self._read_on(followed)
                if (before := _first_copy(followed, video_id, record)) is not None:
                    return await self._surviving(followed, video_id, record, before)
                _check_age(followed, after)
                await self._check(followed, video_id, identity, new.message)
            offset, verdict = await self.append(followed, record, _UNKNOWN_COMMENT)
            if verdict.kind is Kind.DUPLICATE:
                assert verdict.survivor is not None
                return await self._surviving(followed, video_id, record, verdict.survivor)
            if verdict.kind is Kind.VOID:
                raise VideoEndedRejected(_ENDED)
            assert verdict.kind is Kind.ACCEPTED, verdict.reason
            _created.inc()
            return render_comment(comment_id(position_at(followed.epoch, offset), followed.number), record.value)

    async def _read_on(self, followed: FollowedPartition) -> None:
        """Judge all that the log holds by now, so that what is refused then is refused by one place in it.

        Raises:
            PartitionUnavailable, LogUnavailable: not now; try again.
        """
        await self._history.reach(followed, await self._history.newest(followed.number))

    async def _check(self, followed: FollowedPartition, video_id: str, identity: Identity, message: str) -> None:
        """Check that this person may write here now. Only the verdict on the record is certain that it was not over."""
        facts = await self.videos.facts(video_id)
        if facts.is_ended or followed.window.is_ended(video_id, followed.next_offset):
            raise VideoEndedRejected(_ENDED)
        if self._only_registered and not facts.is_known:
            if not facts.is_whole:
                raise StoreUnavailable("Whether there is such a video cannot be read just now. Try again in a second.")
            raise VideoNotFoundRejected("There is no such video here.")
        facts.check_writer(identity)
        if MODERATE not in identity.roles:
            if followed not in self._counted:
                self._count(followed, ())
            self._admission.check(video_id, identity.author.id, message, facts.settings, self._clock())
            self._words.check(message)

    def _count(self, followed: FollowedPartition, entries: Sequence[Entry]) -> None:
        """Hear what was written, here or through another gateway; first, what was before we followed the partition.

        Only once: a partition that is taken on again has comments in its tail that count already.
        """
        needs_text, is_new = self._admission.limits.duplicate_text_s > 0, True
        if followed not in self._counted:
            self._counted.add(followed)
            entries, is_new = list(followed.tail), False
        through = self._counted_through.get(followed.number, BEFORE_EVERYTHING)
        now, now_ms = self._clock(), time.time_ns() // 1_000_000
        for entry in entries:
            if entry.is_shown and entry.position > through:
                text = orjson.loads(entry.value)["message"] if needs_text else ""
                at = entry.read_at if is_new else now - max(0, now_ms - entry.appended_at_ms) / 1_000
                self._admission.hear(entry.video_id, entry.author_id, text, at)
        self._counted_through[followed.number] = max(through, followed.judged_through)

    def _count_before(self, record: Record, verdict: Verdict) -> None:
        """Count what was written in the window, before the tail of a partition that is being taken on."""
        age_s = time.time() - record.appended_at_ms / 1_000
        if record.headers["type"] != COMMENT_CREATED or age_s > self._counted_s:
            return
        position = position_at(self._epoch, record.offset)
        if position > self._counted_through.get(record.partition, BEFORE_EVERYTHING):
            assert record.value is not None
            text = orjson.loads(record.value)["message"] if self._admission.limits.duplicate_text_s > 0 else ""
            author = record.headers["author"].decode("utf-8", "replace")
            self._admission.hear(verdict.video_id, author, text, self._clock() - max(0.0, age_s))
            self._counted_through[record.partition] = position

    async def find(self, video_id: str, id_text: str) -> tuple[bytes, str]:
        """Find a comment: its public JSON and its author's id.

        Raises:
            CursorRejected, CommentNotFoundRejected, CommentDeletedRejected
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
        await self._deletes.join((video_id, target), lambda: self.append(followed, record, _UNKNOWN_DELETE))

    async def append(
        self, followed: FollowedPartition, record: NewRecord, unknown: str = _UNKNOWN
    ) -> tuple[int, Verdict]:
        """Append and wait for the verdict; the record's offset with it.

        Args:
            unknown: what to tell whoever asked when it may be written or not, with what to do then.

        Raises:
            AppendUnavailable: not written. AppendUnknown: maybe written.
            ContractUnavailable: nothing is written for now.
            LogWentBackUnavailable: the log would give ids again that it gave before; what is written there is lost.
        """
        continuity, expected = self._continuity, followed.next_offset
        continuity.check()
        self._permission.check()
        if self._in_flight >= self._in_flight_max:
            raise AppendUnavailable("Too many comments are being written at once. Try again in a second.")
        self._in_flight += 1
        _in_flight.set(self._in_flight)
        began_at = self._clock()
        try:
            offset = await self._log.append(followed.number, record)
            acked_at = self._clock()
            _append.observe(acked_at - began_at)
            if offset < expected:
                continuity.note("an append came before what was read", partition=followed.number, offset=offset)
                continuity.check()
            verdict = await followed.verdict(offset, max(0.0, began_at + self._timeout_s - acked_at))
            _judged.observe(self._clock() - acked_at)
            read = followed.tail.find(position_at(followed.epoch, offset))
            if read is not None and read.value not in (record.value, b""):  # without its text it was deleted already
                continuity.note("another record stands at an append's place", partition=followed.number, offset=offset)
            continuity.check()
            self._permission.confirm()
            return offset, verdict
        except (TimeoutError, AppendUnknown) as error:
            raise AppendUnknown(unknown) from error
        finally:
            self._in_flight -= 1
            _in_flight.set(self._in_flight)

    async def _surviving(
        self, followed: FollowedPartition, video_id: str, record: NewRecord, before: Occurrence
    ) -> bytes:
        if before.digest != record.headers["digest"]:
            raise KeyConflictRejected("This Idempotency-Key was used for another comment. Use a new key for a new one.")
        if before.void:
            raise VideoEndedRejected(_ENDED)
        position = position_at(followed.epoch, before.survivor)
        is_sure = followed.window.is_sure(before.survivor)
        try:
            is_first = is_sure or not await self._is_preceded(followed, record, before.survivor)
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

    async def _is_preceded(self, followed: FollowedPartition, record: NewRecord, survivor: int) -> bool:
        """Tell whether the W records before a survivor hold its key too, so that it is no survivor at all."""
        first = max((await self._log.bounds([followed.number]))[followed.number].start, survivor - followed.window.size)
        names = ("type", "author", "key")
        while first < survivor:
            records, first = await self._log.read(followed.number, first, survivor, 1_000)
            for older in records:
                if older.key == record.key and all(older.headers.get(n) == record.headers[n] for n in names):
                    return True
        return False

    async def _value_at(self, followed: FollowedPartition, video_id: str, position: int) -> bytes | None:
        """Read the value of a comment as it is now: empty once it is deleted, None if it is not kept."""
        entries = (await self._history.forward(followed, video_id, position - 1, 1, around_store=True)).entries
        return entries[0].value if entries and entries[0].position == position else None


def _first_copy(followed: FollowedPartition, video_id: str, record: NewRecord) -> Occurrence | None:
    """Find the comment with this one's key, if there is a key and our window holds it."""
    key = record.headers.get("key")
    if key is None:
        return None
    return followed.window.occurrence(video_id, record.headers["author"], key, followed.next_offset)


def _check_age(followed: FollowedPartition, after: int | None) -> None:
    """Refuse a retry whose first copy, later than `after`, may be out of reach. Raises RetryTooOldRejected."""
    # What it had seen is no later than all that was written before; its first copy is at least one further on.
    if after is None or after + 1 >= position_at(followed.epoch, max(0, followed.next_offset - _RETRY_RECORDS_MAX)):
        return
    raise RetryTooOldRejected(
        "So much was written since Idempotency-After that an earlier try cannot be told from none. Read the newest "
        "comments; if yours is not there, send it with a new Idempotency-Key."
    )


_ENDED: Final = "The video has ended; comments are closed."


@contextmanager
def _unknown_counted() -> Iterator[None]:
    try:
        yield
    except AppendUnknown:
        _comments.labels("unknown").inc()
        raise
