"""The steps of a feed: files of changes, and for each step a manifest, by whose appearing all of it counts.

    _manifest/000000017.json                    where step 17 began and ended in each partition, and its files
    day=2026-11-22/000000017-changes.parquet    what was appended that day (UTC), of step 17
    facts/000000017-facts.parquet               what was said of videos

A manifest is never changed, and begins where the one before ended. Files that no manifest names are of a step that was
cut short, and are removed by who goes on.
"""

import io
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from livecomments_command.records.changes import Change, Changes, sha256_of
from livecomments_command.records.kept_files import FilesInUse
from livecomments_command.records.parquet import CHANGE_COLUMNS, FACT_COLUMNS, UPSERT, SortedParquet, fact_cells
from livecomments_command.records.places import Folder, name_of
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import timestamp
from livecomments_schemas.positions import comment_id, first_position, offset_of, parse_comment_id

VERSION: Final = 1
FEED_FORMATS: Final = ("jsonl", "parquet")
_DAY_CHARS: Final = len("2026-11-22")
_MANIFEST: Final = re.compile(r"_manifest/(\d{9})\.json")
_OF_STEP: Final = re.compile(
    r"(?:(?:day=[\d-]{10}|facts)/\.?(\d{9})-(?:changes|facts)|_manifest/\.(\d{9}))\.\w+(?:\.new)?"
)
"""Files of a step, and what is left of one being made. A manifest that has its name is none of these."""


class FeedPlan(NamedTuple):
    """What a feed is of. `video_id` None: all videos. `after` is what it began behind, as it was named."""

    form: str
    video_id: str | None = None
    after: str | None = None

    @property
    def begun_after(self) -> str | None:
        """As it is told: without an account."""
        return None if self.after is None else name_of(self.after)


class Step(NamedTuple):
    """The newest step of a feed; number 0 is before the first."""

    number: int
    epoch: int
    partition_count: int
    following: Mapping[int, int]
    """By partition, the first offset that is in no file."""
    written: bytes = b""
    """Its manifest."""


def newest_step(place: Folder, plan: FeedPlan) -> Step | None:
    """Read where a feed is; None if there is none yet.

    Raises:
        StartRefused: the place holds something else, or a feed of another kind.
        PlaceUnavailable: try again.
    """
    names = place.names()
    numbers = [int(found[1]) for found in map(_MANIFEST.fullmatch, names) if found]
    if not numbers:
        if [name for name in names if not _OF_STEP.fullmatch(name)]:
            raise StartRefused(f"{place.name} is not empty, and no feed. Name another.")
        return None
    written = place.read(_manifest_path(max(numbers))) or b""
    content = _content(place, written)
    wanted = {"format": plan.form, "videoId": plan.video_id} | ({"begunAfter": plan.begun_after} if plan.after else {})
    for name, value in wanted.items():
        if content[name] != value:
            raise StartRefused(f"{place.name} holds a feed with {name} {content[name]}, not {value}. Name another.")
    return _step(content, written)


def position_of_feed(place: Folder) -> Step | None:
    """Read where any feed is, to begin another behind it; None if the place holds none. Raises as `newest_step`."""
    numbers = [int(found[1]) for found in map(_MANIFEST.fullmatch, place.names()) if found]
    if not numbers:
        return None
    written = place.read(_manifest_path(max(numbers))) or b""
    return _step(_content(place, written), b"")._replace(number=0)


def remove_leftovers(place: Folder, step: int) -> None:
    """Remove what a later step left that was cut short. Raises PlaceUnavailable."""
    for name in place.names():
        found = _OF_STEP.fullmatch(name)
        if found and int(found[1] or found[2]) > step:
            place.remove(name)


def commit(place: Folder, plan: FeedPlan, topic: str, last: Step, changes: Changes) -> Step:
    """Write the files of the next step, then its manifest. Run again after a failure, it does no harm.

    Raises:
        FilesInUse: somebody else wrote a step meanwhile.
        FilesRefused, FilesFailed: a directory cannot be written. PlaceUnavailable: a bucket is away.
    """
    number = last.number + 1
    files = []
    for day, rows in sorted(_days(changes.rows()).items()):
        content = _FORMS[plan.form](rows)
        path = f"day={day}/{number:09d}-changes.{plan.form}"
        place.write(path, content)
        files.append(_file(path, content, [row.position for row in rows], sum(row.op == UPSERT for row in rows)))
    facts = []
    if changes.facts:
        content = _facts(plan.form, [line for line, _ in changes.facts])
        path = f"facts/{number:09d}-facts.{plan.form}"
        place.write(path, content)
        facts.append({"path": path, "rows": len(changes.facts), "bytes": len(content), "sha256": sha256_of(content)})
    following = {**last.following, **changes.following}
    manifest = {
        "version": VERSION,
        "kind": "changes",
        "step": number,
        "topic": topic,
        "epoch": last.epoch,
        "partitionCount": last.partition_count,
        "format": plan.form,
        "videoId": plan.video_id,
        "begunAfter": plan.begun_after,
        "partitions": {
            str(partition): {
                "after": _id_before(last.epoch, partition, last.following[partition]),
                "through": _id_before(last.epoch, partition, offset),
            }
            for partition, offset in following.items()
        },
        "files": files,
        "facts": facts,
    }
    written = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    others = place.read(_manifest_path(number))
    if others not in (None, written) or (last.written and place.read(_manifest_path(last.number)) != last.written):
        raise FilesInUse(f"{place.name}: another command writes this feed. Nothing was added to it; let one go on.")
    place.write(_manifest_path(number), written)
    return last._replace(number=number, following=following, written=written)


def _manifest_path(number: int) -> str:
    return f"_manifest/{number:09d}.json"


def _content(place: Folder, written: bytes) -> Mapping[str, Any]:
    try:
        content: dict[str, Any] = orjson.loads(written)
        is_known = content["version"] == VERSION and content["kind"] == "changes"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        is_known = False
    if not is_known:
        raise StartRefused(f"{place.name} holds no feed that this livecomments understands.")
    return content


def _step(content: Mapping[str, Any], written: bytes) -> Step:
    following = {
        int(partition): offset_of(parse_comment_id(one["through"])[0] + 1)
        for partition, one in content["partitions"].items()
    }
    return Step(content["step"], content["epoch"], content["partitionCount"], following, written)


def _id_before(epoch: int, partition: int, offset: int) -> str:
    return comment_id(first_position(epoch) + offset - 1, partition)


def _days(rows: Sequence[Change]) -> Mapping[str, list[Change]]:
    days: defaultdict[str, list[Change]] = defaultdict(list)
    for row in rows:
        days[timestamp(row.appended_at_ms)[:_DAY_CHARS]].append(row)
    return days


def _file(path: str, content: bytes, positions: Sequence[int], upserts: int) -> Mapping[str, object]:
    return {
        "path": path,
        "rows": len(positions),
        "upserts": upserts,
        "deletes": len(positions) - upserts,
        "firstPosition": min(positions),
        "lastPosition": max(positions),
        "bytes": len(content),
        "sha256": sha256_of(content),
    }


def _jsonl(rows: Sequence[Change]) -> bytes:
    return b"".join(row.to_line() + b"\n" for row in rows)


def _parquet(rows: Sequence[Change]) -> bytes:
    file = io.BytesIO()
    sheet = SortedParquet(file, CHANGE_COLUMNS)
    sheet.write([row.to_cells() for row in rows])
    sheet.close()
    return file.getvalue()


def _facts(form: str, lines: Sequence[bytes]) -> bytes:
    if form == "jsonl":
        return b"".join(line + b"\n" for line in lines)
    file = io.BytesIO()
    sheet = SortedParquet(file, FACT_COLUMNS)
    sheet.write([fact_cells(line) for line in lines])
    sheet.close()
    return file.getvalue()


_FORMS: Final = {"jsonl": _jsonl, "parquet": _parquet}
