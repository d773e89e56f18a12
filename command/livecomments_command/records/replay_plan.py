"""What a replay reads: from which record of each partition, up to which, as the log stands when it begins."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from livecomments.log.interface import Bounds, CommentLog
from livecomments_command.records.scan import patiently
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import Record
from livecomments_schemas.partitions import VideoIdRejected, parse_video_id, partition_of
from livecomments_schemas.positions import CursorRejected, epoch_of, offset_of, parse_comment_id

_PAIR: Final = re.compile(r"(\d{1,8}):(\d{1,13})")


@dataclass(frozen=True)
class ReplayPlan:
    """What to replay. At most one start and one end; without a start from the first record, without an end to now.

    An id means its own partition exactly, and the others by the time at which it was appended.
    """

    video_id: str | None = None
    """Only records of this video, of its partition."""
    from_time_ms: int | None = None
    from_id: str | None = None
    from_offsets: Mapping[int, int] = field(default_factory=dict)
    """By partition; others are left out."""
    until_time_ms: int | None = None
    """Records appended before it."""
    until_id: str | None = None
    """This record is the last of its partition."""


def planned(
    video: str | None, from_time: str | None, from_id: str | None, from_offsets: Sequence[str], until: str
) -> ReplayPlan:
    """Return the plan that these options mean. Raises StartRefused."""
    if sum((from_time is not None, from_id is not None, bool(from_offsets))) > 1:
        raise StartRefused("Say one of --from-time, --from-id and --from-offset.")
    check_video(video)
    until_id = until if _is_id(until) else None
    return ReplayPlan(
        video_id=video,
        from_time_ms=None if from_time is None else _parse_time("--from-time", from_time),
        from_id=from_id,
        from_offsets=dict(_parse_pair(pair) for pair in from_offsets),
        until_time_ms=None if until == "now" or until_id else _parse_time("--until", until),
        until_id=until_id,
    )


def refuse_endless(*, has_pace: bool, is_merged: bool, until: str) -> None:
    """Refuse what cannot be followed, a replay without an end. Raises StartRefused."""
    if has_pace or until != "now":
        raise StartRefused("--follow has no end and goes as fast as the log: leave out --until and --pace.")
    if is_merged:
        raise StartRefused(
            "--merged needs an end: of a partition that is silent nobody knows what comes next, and when. Replay one "
            "stretch after the other instead: --until a moment that has passed, and then --from-time that moment."
        )


async def ranges_of(log: CommentLog, plan: ReplayPlan) -> dict[int, Bounds]:
    """Return the offsets that the plan means, by partition, up to the log's end now. Raises StartRefused."""
    partitions = _partitions(log, plan)
    held = await patiently(lambda: log.bounds(range(log.partition_count)))
    starts = {number: held[number].start for number in partitions}
    ends = {number: held[number].end for number in partitions}
    for number, offset in plan.from_offsets.items():
        if offset > ends[number]:
            raise StartRefused(f"--from-offset {number}:{offset}: partition {number} ends at {ends[number]}.")
        starts[number] = max(offset, starts[number])
    if plan.from_time_ms is not None:
        starts = {number: await first_since(log, number, held[number], plan.from_time_ms) for number in partitions}
    elif plan.from_id is not None:
        starts = await _offsets_at(log, "--from-id", plan.from_id, held, partitions, behind=0)
    if plan.until_time_ms is not None:
        ends = {number: await first_since(log, number, held[number], plan.until_time_ms) for number in partitions}
    elif plan.until_id is not None:
        ends = await _offsets_at(log, "--until", plan.until_id, held, partitions, behind=1)
    return {number: Bounds(starts[number], max(starts[number], ends[number])) for number in partitions}


async def first_since(log: CommentLog, partition: int, held: Bounds, time_ms: int) -> int:
    """Return the offset of the first record appended at or after a time in Unix ms; the end if there is none.

    By bisection, since a log appends in the order of its clock; where that was set back, near enough.
    """
    low, high = held
    while low < high:
        middle = (low + high) // 2
        found = await _record_from(log, partition, middle, high)
        if found is not None and found.appended_at_ms < time_ms:
            low = found.offset + 1
        else:
            high = middle
    return low


def check_video(video_id: str | None) -> None:
    """Check the option --video, if it was given. Raises StartRefused."""
    if video_id is None:
        return
    try:
        parse_video_id(video_id)
    except VideoIdRejected as error:
        raise StartRefused(f"--video {video_id}: {error}") from error


def _parse_time(option: str, text: str) -> int:
    """Return the Unix milliseconds of an RFC 3339 time. Raises StartRefused: it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = datetime.min
    if moment.tzinfo is None:
        raise StartRefused(f"{option} {text}: must be a time such as 2026-11-22T10:00:00Z.")
    return round(moment.timestamp() * 1_000)


def _parse_pair(pair: str) -> tuple[int, int]:
    match = _PAIR.fullmatch(pair)
    if match is None:
        raise StartRefused(f"--from-offset {pair}: must be partition:offset, such as 3:1200.")
    return int(match[1]), int(match[2])


def _is_id(text: str) -> bool:
    try:
        parse_comment_id(text)
    except CursorRejected:
        return False
    return True


def _partitions(log: CommentLog, plan: ReplayPlan) -> list[int]:
    if plan.from_offsets and max(plan.from_offsets) >= log.partition_count:
        raise StartRefused(f"--from-offset: the topic has only partitions 0 to {log.partition_count - 1}.")
    if plan.video_id is None:
        return sorted(plan.from_offsets) or list(range(log.partition_count))
    home = partition_of(plan.video_id, log.partition_count)
    if plan.from_offsets and set(plan.from_offsets) != {home}:
        raise StartRefused(f"--from-offset: the video {plan.video_id} is in partition {home}.")
    return [home]


async def _offsets_at(
    log: CommentLog, option: str, text: str, held: Mapping[int, Bounds], partitions: list[int], *, behind: int
) -> dict[int, int]:
    """Return the offset of an id plus `behind` in its partition, and of its time of appending in the others."""
    position, home = _parse_id(option, text, log, partitions)
    offset = offset_of(position)
    if not held[home].start <= offset < held[home].end:
        raise StartRefused(
            f"{option} {text}: partition {home} holds offsets {held[home].start} to {held[home].end - 1}."
        )
    found = await _record_from(log, home, offset, held[home].end)
    time_ms = found.appended_at_ms if found is not None else 0
    return {
        number: offset + behind if number == home else await first_since(log, number, held[number], time_ms)
        for number in partitions
    }


def _parse_id(option: str, text: str, log: CommentLog, partitions: list[int]) -> tuple[int, int]:
    try:
        position, home = parse_comment_id(text)
    except CursorRejected as error:
        raise StartRefused(f"{option} {text}: {error}") from error
    if epoch_of(position) != log.epoch:
        raise StartRefused(f"{option} {text} is of epoch {epoch_of(position)}: say --epoch {epoch_of(position)}.")
    if home not in partitions:
        raise StartRefused(f"{option} {text} is of partition {home}, which is not replayed.")
    return position, home


async def _record_from(log: CommentLog, partition: int, offset: int, end: int) -> Record | None:
    """Return the first record at or behind an offset, before `end`; None if there is none."""
    while offset < end:
        at = offset
        records, offset = await patiently(lambda: log.read(partition, at, end, 1))  # noqa: B023 (awaited here)
        if records:
            return records[0]
    return None
