"""`livecomments dead-letters`: lists, shows and replays records that the stream job set aside.

A letter is known by its number, its offset in the dead-letter topic. Replaying appends the record anew, whole, with its
own headers, at the partition of its video: as it stands where it came from or, once that is gone, in the letter; not
what is still invalid. It is read back and judged before anything is said of it: its video, or its epoch, may be over. A
mark in the dead-letter topic says what was replayed. If it is missing after a crash, a comment replayed again is a
duplicate of the first: it is given an idempotency key where it has none.
"""

import re
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Final, NamedTuple

import orjson
from rich.table import Table

from livecomments.following.read_back import read_on
from livecomments.log.interface import AppendRefused, CommentLog, OffsetUnavailable
from livecomments_command.records.copies import origin_headers
from livecomments_command.records.opened import Opened
from livecomments_command.records.scan import CHUNK_RECORDS, JudgedReader, patiently
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import (
    COMMENT_CREATED,
    ForeignHeaders,
    NewRecord,
    Record,
    comment_digest,
    headers_of,
    listed_headers,
    timestamp,
)
from livecomments_schemas.judge import FENCED, Kind, Verdict, judge
from livecomments_schemas.partitions import VideoIdRejected, parse_video_id, partition_of
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.window import Window
from livecomments_streams.dead_letters import RECORD_HEADER

_REPLAYED: Final = b"replayed"
"""The reason of a mark."""
_ORIGIN: Final = re.compile(rb"[^/]+/\d{1,8}/\d{1,13}")
_MARKS_MAX: Final = 1_000_000
"""Origins of replayed letters kept in memory while letters are listed: some 100 MB."""
_TOLD_MAX: Final = 500_000
"""Origins of letters kept in memory, twice as many at most: a job with a new store sets all aside again."""


_EPOCH_OVER: Final = "its epoch has ended meanwhile; run this again, once the next one is open"
_VIDEO_OVER: Final = "its video has ended, so that it would show nowhere"


class Letter(NamedTuple):
    """A dead letter. `key` and `value` may be cut; `cut` then says how long they were."""

    number: int
    reason: str
    origin: str
    """Topic, partition and offset, with a `/` between."""
    key: bytes
    value: bytes | None
    cut: str
    headers: Mapping[str, bytes]
    """The record's own; `ForeignHeaders` where they do not say all."""
    set_aside_at_ms: int
    replayed: bool = False

    def to_json(self) -> dict[str, object]:
        """Return the letter as JSON members; bytes that are no UTF-8 are escaped."""
        return {
            "number": self.number,
            "reason": self.reason,
            "origin": self.origin,
            "setAsideAt": timestamp(self.set_aside_at_ms),
            "replayed": self.replayed,
            "cut": self.cut or None,
            "key": _text(self.key),
            "value": None if self.value is None else _text(self.value),
            "headers": {_text(name.encode()): _text(value) for name, value in self.headers.items()},
            **self._header_list(),
        }

    def _header_list(self) -> dict[str, object]:
        if not isinstance(self.headers, ForeignHeaders):
            return {}
        listed = [(_text(name.encode()), None if it is None else _text(it)) for name, it in self.headers.listed]
        return {"headerList": listed}


class NotReplayed(Exception):
    """Why a letter cannot be replayed, a sentence for the operator."""


async def read_letters(log: CommentLog) -> AsyncIterator[Letter]:
    """Yield the letters there are now, oldest first; a record set aside twice is one. Raises StartRefused: too many."""
    held = (await patiently(lambda: log.bounds([0])))[0]
    replayed: set[str] = set()
    async for letter in _read(log, *held):
        if letter.reason == _REPLAYED.decode():
            replayed.add(letter.origin)
        if len(replayed) > _MARKS_MAX:
            raise StartRefused(f"More than {_MARKS_MAX:,} letters were replayed; read the topic with other tools.")
    told, told_before = set[str](), set[str]()
    async for letter in _read(log, *held):
        if letter.reason != _REPLAYED.decode() and letter.origin not in told and letter.origin not in told_before:
            told.add(letter.origin)
            if len(told) >= _TOLD_MAX:
                told, told_before = set(), told
            yield letter._replace(replayed=letter.origin in replayed)


async def find_letter(log: CommentLog, number: int) -> Letter:
    """Find a letter by its number. Raises StartRefused: there is none of this number."""
    async for letter in read_letters(log):
        if letter.number == number:
            return letter
    raise StartRefused(f"There is no dead letter {number}. See: livecomments dead-letters list")


async def table_of_letters(log: CommentLog, reason: str | None, limit: int) -> Table:
    """Return a table of the newest `limit` letters of a reason (or of all), titled with the count of each reason."""
    newest: deque[Letter] = deque(maxlen=limit)
    by_reason: Counter[str] = Counter()
    async for letter in read_letters(log):
        by_reason[letter.reason] += 1
        if reason in (None, letter.reason):
            newest.append(letter)
    counts = ", ".join(f"{count:,} {name}" for name, count in by_reason.most_common()) or "none"
    table = Table(title=f"Dead letters: {counts}", title_justify="left")
    for head in ("number", "reason", "origin", "set aside", "key", "bytes", "replayed"):
        table.add_column(head, justify="right" if head in ("number", "bytes") else "left")
    for one in newest:
        size = one.cut or str(len(one.value or b""))
        moment = timestamp(one.set_aside_at_ms)
        table.add_row(str(one.number), one.reason, one.origin, moment, _text(one.key)[:64], size, "yes" * one.replayed)
    return table


async def replay_letters(opened: Opened, chosen: Collection[int] | str | None, *, dry_run: bool) -> AsyncIterator[str]:
    """Replay letters by their numbers, by a reason, or (None) all; a sentence each. Those replayed before are left out.

    Raises:
        AppendUnavailable, AppendUnknown: run it again.
    """
    missing = set[int]() if chosen is None or isinstance(chosen, str) else set(chosen)
    verdicts = _Verdicts(opened.log)
    async for letter in read_letters(opened.dead_letter_log):
        missing.discard(letter.number)
        if letter.replayed:
            continue
        if chosen is not None and (letter.reason != chosen if isinstance(chosen, str) else letter.number not in chosen):
            continue
        try:
            home, record = await _mended(opened, letter)
            await verdicts.check(home, record)
        except NotReplayed as why:
            yield f"{letter.number} ({letter.origin}) not replayed: {why}"
            continue
        if dry_run:
            yield f"{letter.number} ({letter.origin}) would be replayed"
            continue
        try:
            replayed_as = await verdicts.survivor_of(home, record, await opened.log.append(home, record))
        except (AppendRefused, NotReplayed) as why:
            yield f"{letter.number} ({letter.origin}) not replayed: {why}"
            continue
        mark = {"reason": _REPLAYED, "origin": letter.origin.encode(), "as": replayed_as.encode()}
        await opened.dead_letter_log.append(0, NewRecord(b"", b"", mark))
        yield f"{letter.number} ({letter.origin}) replayed as {replayed_as}"
    for number in sorted(missing):
        yield f"{number} not replayed: there is no dead letter of this number. See: livecomments dead-letters list"


class _Verdicts:
    """What everybody makes of the records that are appended here: each is read back, behind the window before it."""

    def __init__(self, log: CommentLog) -> None:
        self._log = log
        self._readers: dict[int, JudgedReader] = {}

    async def check(self, home: int, record: NewRecord) -> None:
        """Refuse what would be void, as far as was read. Raises NotReplayed."""
        reader = self._readers.get(home)
        if reader is None:
            end = (await patiently(lambda: self._log.bounds([home])))[home].end
            reader = self._readers[home] = await JudgedReader.open(self._log, home, end)
        if reader.is_fenced:
            raise NotReplayed(_EPOCH_OVER)
        if record.headers["type"] == COMMENT_CREATED and reader.is_ended(record.key.decode()):
            raise NotReplayed(_VIDEO_OVER)

    async def survivor_of(self, home: int, record: NewRecord, offset: int) -> str:
        """Return the id of what was appended, or of the comment that it repeats. Raises NotReplayed: neither counts."""
        verdict = await self._verdict(home, offset)
        if (first := verdict.survivor) is not None:
            survivor = comment_id(position_at(self._log.epoch, first.survivor), home)
            if first.digest != record.headers["digest"]:
                raise NotReplayed(f"its idempotency key was used for another comment, {survivor}")
            if first.void:
                raise NotReplayed("its video had ended when it was replayed before, so that it shows nowhere")
            return survivor
        if verdict.kind is not Kind.ACCEPTED:
            raise NotReplayed(_EPOCH_OVER if verdict.reason == FENCED.reason else _VIDEO_OVER)
        return comment_id(position_at(self._log.epoch, offset), home)

    async def _verdict(self, home: int, offset: int) -> Verdict:
        reader = self._readers[home]
        found = None
        while found is None:
            judged = await reader.read(offset + 1, CHUNK_RECORDS)
            found = next((verdict for record, verdict in judged if record.offset == offset), None)
        return found


async def _mended(opened: Opened, letter: Letter) -> tuple[int, NewRecord]:
    """Return the partition and the record to append for a letter. Raises NotReplayed."""
    original = await _original(opened, letter)
    if original.key is None or original.value is None:
        raise NotReplayed("it has no key or no value")
    try:
        video_id = parse_video_id(original.key.decode("ascii"))
    except (UnicodeDecodeError, VideoIdRejected) as error:
        raise NotReplayed("its key is no video id") from error
    log = opened.log
    home = partition_of(video_id, log.partition_count)
    end = (await patiently(lambda: log.bounds([home])))[home].end
    headers = [*listed_headers(original.headers)]
    judged = judge(
        original._replace(partition=home, offset=end),
        Window(log.epoch, home, log.partition_count, since=end, whole=False),
    )
    if judged.kind is not Kind.ACCEPTED:
        raise NotReplayed(f"it is still {judged.kind.value} {judged.reason}".rstrip())
    if original.headers["type"] == COMMENT_CREATED and "key" not in original.headers:
        comment = orjson.loads(original.value)
        headers.append(("key", f"dead-letter:{letter.origin}".encode()[:128]))
        headers.append(("digest", comment_digest(comment["message"], comment.get("videoTimeMs"))))
    headers += origin_headers(opened.topic, original)
    return home, NewRecord(original.key, original.value, headers_of(headers))


async def _original(opened: Opened, letter: Letter) -> Record:
    topic, _, place = letter.origin.partition("/")
    partition, _, offset = place.partition("/")
    if topic != opened.topic:
        raise NotReplayed(f"it is of {topic}, this is {opened.topic}")
    number, at = int(partition), int(offset)
    if number >= opened.log.partition_count:
        raise NotReplayed(f"{opened.topic} has no partition {number}")
    try:
        records, _ = await patiently(lambda: opened.log.read(number, at, at + 1, 1))
    except OffsetUnavailable:
        records = []
    if records:
        return records[0]
    if letter.cut or not letter.headers:
        raise NotReplayed("the log no longer holds it, and the letter not all of it")
    return Record(number, at, letter.key, letter.value, letter.headers, letter.set_aside_at_ms)


async def _read(log: CommentLog, start: int, end: int) -> AsyncIterator[Letter]:
    while start < end:
        at = start
        records, start = await patiently(lambda: read_on(log, 0, at, end))  # noqa: B023 (awaited here)
        for record in records:
            headers = record.headers
            if not _ORIGIN.fullmatch(headers.get("origin", b"")):
                continue  # of some other producer
            value = None if headers.get("value") == b"null" else record.value
            yield Letter(
                record.offset,
                _text(headers.get("reason", b"")),
                _text(headers["origin"]),
                record.key or b"",
                value,
                _text(headers.get("cut", b"")),
                headers_of(
                    [
                        (name.removeprefix(RECORD_HEADER), it)
                        for name, it in listed_headers(headers)
                        if name.startswith(RECORD_HEADER)
                    ]
                ),
                record.appended_at_ms,
            )


def _text(found: bytes) -> str:
    """Return the text as it can be printed: nothing in it drives a terminal."""
    text = found.decode("utf-8", "backslashreplace")
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
