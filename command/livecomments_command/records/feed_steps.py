"""The steps of a feed: files of changes, and for each step a manifest, by whose appearing all of it counts.

    _manifest/000000017.json                    where step 17 began and ended in each partition, and its files
    day=2026-11-22/000000017-changes.parquet    what was appended that day (UTC), of step 17
    facts/000000017-facts.parquet               what was said of videos

A manifest begins where the one before ended. Files that no manifest names are of a step that was cut short, and are
removed by who goes on. Steps may be written anew (`rewriting`), their files with eight hexadecimal digits behind
their names.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import orjson

from livecomments_command.records.changes import Changes
from livecomments_command.records.kept_files import FilesInUse
from livecomments_command.records.manifests import CHANGES, VERSION, schema_of, understood
from livecomments_command.records.places import Folder, name_of
from livecomments_command.records.step_files import files_of_changes, files_of_facts
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import comment_id, first_position, offset_of, parse_comment_id

_MANIFEST: Final = re.compile(r"_manifest/(\d{9})\.json")
OF_STEP: Final = re.compile(
    r"(?:(?:day=[\d-]{10}|facts)/\.?(\d{9})-(?:changes|facts)(?:-[0-9a-f]{8})?|_manifest/\.(\d{9}))\.\w+(?:\.new)?"
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
    numbers = numbers_of(names)
    if not numbers:
        if [name for name in names if not OF_STEP.fullmatch(name)]:
            raise StartRefused(f"{place.name} is not empty, and no feed. Name another.")
        return None
    path = manifest_path(max(numbers))
    written = place.read(path) or b""
    content = understood(written, CHANGES, f"{place.name}/{path}")
    wanted = {"format": plan.form, "videoId": plan.video_id} | ({"begunAfter": plan.begun_after} if plan.after else {})
    for name, value in wanted.items():
        if content[name] != value:
            raise StartRefused(f"{place.name} holds a feed with {name} {content[name]}, not {value}. Name another.")
    return _step(content, written)


def position_of_feed(place: Folder) -> Step | None:
    """Read where any feed is, to begin another behind it; None if the place holds none. Raises as `newest_step`."""
    numbers = numbers_of(place.names())
    if not numbers:
        return None
    path = manifest_path(max(numbers))
    content = understood(place.read(path) or b"", CHANGES, f"{place.name}/{path}")
    return _step(content, b"")._replace(number=0)


def remove_leftovers(place: Folder, step: int) -> None:
    """Remove what a later step left that was cut short. Raises PlaceUnavailable."""
    for name in place.names():
        found = OF_STEP.fullmatch(name)
        if found and int(found[1] or found[2]) > step:
            place.remove(name)


def commit(place: Folder, plan: FeedPlan, topic: str, last: Step, changes: Changes) -> Step:
    """Write the files of the next step, then its manifest. Run again after a failure, it does no harm.

    Raises:
        FilesInUse: somebody else wrote a step meanwhile.
        FilesRefused, FilesFailed: a directory cannot be written. PlaceUnavailable: a bucket is away.
    """
    number = last.number + 1
    name = f"{number:09d}-{{}}"
    files = files_of_changes(plan.form, name, changes.rows())
    facts = files_of_facts(plan.form, name, [line for line, _ in changes.facts])
    for file in (*files, *facts):
        place.write(file.path, file.content)
    following = {**last.following, **changes.following}
    manifest = {
        "version": VERSION,
        "kind": CHANGES,
        "firstStep": number,
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
        "schema": schema_of(CHANGES, plan.form),
        "files": [file.said for file in files],
        "facts": [file.said for file in facts],
    }
    written = orjson.dumps(manifest, option=orjson.OPT_INDENT_2)
    others = place.read(manifest_path(number))
    if others not in (None, written) or (last.written and place.read(manifest_path(last.number)) != last.written):
        raise FilesInUse(f"{place.name}: another command writes this feed. Nothing was added to it; let one go on.")
    place.write(manifest_path(number), written)
    return last._replace(number=number, following=following, written=written)


def manifest_path(number: int) -> str:
    """Return where the manifest of a step is."""
    return f"_manifest/{number:09d}.json"


def numbers_of(names: Iterable[str]) -> list[int]:
    """Return the numbers of the steps that have a manifest among these files, in no order."""
    return [int(found[1]) for found in map(_MANIFEST.fullmatch, names) if found]


def _step(content: Mapping[str, Any], written: bytes) -> Step:
    following = {
        int(partition): offset_of(parse_comment_id(one["through"])[0] + 1)
        for partition, one in content["partitions"].items()
    }
    return Step(content["step"], content["epoch"], content["partitionCount"], following, written)


def _id_before(epoch: int, partition: int, offset: int) -> str:
    return comment_id(first_position(epoch) + offset - 1, partition)
