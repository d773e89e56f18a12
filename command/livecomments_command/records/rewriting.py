"""Steps of a feed written anew: one without what somebody wrote, or several as one.

1. A note, `_manifest/.rewriting-TOKEN`, says which steps are concerned.
2. The new files are written, under names that nothing has.
3. The manifest of the last of the steps is replaced. Until then the old state counts, from then on the new one: its
   `firstStep` says that it stands for the steps before it, too.
4. The other steps' manifests are removed, then the old files, then the note.

Killed anywhere, whoever writes next (`finish_rewriting`) removes what no manifest names, and the note.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import orjson

from livecomments_command.records.feed_steps import OF_STEP, manifest_path, numbers_of
from livecomments_command.records.kept_files import FilesFailed, FilesInUse, FilesRefused
from livecomments_command.records.manifests import CHANGES, VERSION, schema_of, sha256_of, understood
from livecomments_command.records.places import Folder, PlaceUnavailable
from livecomments_command.records.step_files import StepFile
from livecomments_schemas.errors import StartRefused

_NOTE: Final = re.compile(r"_manifest/\.rewriting-[0-9a-f]{8}")
_NOTE_CUT_SHORT: Final = re.compile(r"_manifest/\.\.rewriting-[0-9a-f]{8}\.new")


class KeptStep(NamedTuple):
    """A step as it stands in its place, by its manifest."""

    content: Mapping[str, Any]
    written: bytes

    @property
    def number(self) -> int:
        """Its own; that of the last, if it stands for several."""
        return int(self.content["step"])

    @property
    def first(self) -> int:
        """The first step that it stands for."""
        return int(self.content.get("firstStep", self.number))

    @property
    def files(self) -> list[Mapping[str, Any]]:
        """What its manifest says of all its files."""
        return [*self.content["files"], *self.content["facts"]]


class Rewriting(NamedTuple):
    """Steps that follow each other, and what comes in their place."""

    token: str
    old: Sequence[KeptStep]
    files: Sequence[Mapping[str, Any]]
    """What the new manifest says of all files of changes; of `made`, and of those that stay as they are."""
    facts: Sequence[Mapping[str, Any]]
    made: Sequence[StepFile]

    @property
    def number(self) -> int:
        """Of the step that all of it is from now on."""
        return self.old[-1].number

    def manifest(self) -> bytes:
        """Return the new manifest: of all that the old ones covered."""
        first, last = self.old[0].content, self.old[-1].content
        partitions = {
            partition: {"after": first["partitions"][partition]["after"], "through": place["through"]}
            for partition, place in last["partitions"].items()
        }
        of_now = {"version": VERSION, "firstStep": self.old[0].first, "partitions": partitions}
        of_now |= {"schema": schema_of(CHANGES, last["format"]), "files": self.files, "facts": self.facts}
        return orjson.dumps({**last, **of_now}, option=orjson.OPT_INDENT_2)


def new_token() -> str:
    """Return what tells files that are written anew from all others of their step."""
    return secrets.token_hex(4)


def steps_of(place: Folder, first: int = 1, last: int | None = None) -> list[KeptStep]:
    """Return the steps that count, in order: all, or those that stand for any from `first` to `last`, which is one.

    Raises:
        StartRefused: a manifest is missing, or is of a later version.
        PlaceUnavailable: try again.
    """
    number = max(numbers_of(place.names()), default=0) if last is None else last
    found: list[KeptStep] = []
    while number >= first:
        path = manifest_path(number)
        written = place.read(path) or b""
        step = KeptStep(understood(written, CHANGES, f"{place.name}/{path}"), written)
        found.append(step)
        number = step.first - 1
    return found[::-1]


def read_file(place: Folder, file: Mapping[str, Any]) -> bytes:
    """Read a file that a manifest names, to write it anew.

    Raises:
        StartRefused: it is not there, is not what the manifest says, or is a link.
        PlaceUnavailable: try again.
    """
    path = str(file["path"])
    if not OF_STEP.fullmatch(path):
        raise StartRefused(f"{place.name}: a manifest names {path}, which can be no file of a feed.")
    place.refuse_link(path)
    content = place.read(path)
    if content is None or sha256_of(content) != file["sha256"]:
        what = "is not there" if content is None else "is not what its manifest says"
        raise StartRefused(
            f"{place.name}/{path} {what}. Bring it back; or make a full export, and a new feed after it."
        )
    return content


def rewrite(place: Folder, new: Rewriting) -> None:
    """Put what is new in the place of the old steps. Run again after a failure, it does no harm.

    Raises:
        FilesInUse: somebody else wrote these steps meanwhile.
        FilesRefused, FilesFailed: a directory cannot be written. PlaceUnavailable: a bucket is away.
    """
    path, written = _note_path(new), new.manifest()
    note = orjson.dumps({"firstStep": new.old[0].first, "step": new.number})
    try:
        place.write(path, note)
        for file in new.made:
            place.write(file.path, file.content)
        if place.read(path) != note or not _stand(place, new, written):
            raise FilesInUse(f"{place.name}: another command writes this feed. Run this again once it has ended.")
        place.write(manifest_path(new.number), written)
    except (FilesInUse, FilesRefused, FilesFailed):
        with suppress(FilesRefused, FilesFailed, PlaceUnavailable):
            _take_back(place, new, written)
        raise
    for step in new.old[:-1]:
        place.remove(manifest_path(step.number))
    named = {file["path"] for file in (*new.files, *new.facts)}
    for old in (each for step in new.old for each in step.files):
        if old["path"] not in named:
            place.remove(old["path"])
    place.remove(path)


def finish_rewriting(place: Folder) -> None:
    """Remove what a rewriting that was cut short left: the new files if it came to nothing, else the old ones.

    Raises:
        StartRefused: a manifest is missing, or is of a later version.
        FilesRefused, FilesFailed: a directory cannot be written. PlaceUnavailable: a bucket is away.
    """
    names = place.names()
    for note in filter(_NOTE.fullmatch, names):
        try:
            said = orjson.loads(place.read(note) or b"{}")
            first, last = int(said["firstStep"]), int(said["step"])
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            raise StartRefused(f"{place.name}/{note} cannot be read. If nobody writes this feed, remove it.") from error
        place.write(note, orjson.dumps({**said, "isOver": True}))  # in a bucket, its writer may still live
        steps = steps_of(place, first, last)
        named = {file["path"] for step in steps for file in step.files}
        named.update(manifest_path(step.number) for step in steps)
        for number in sorted(numbers_of(names)):
            if first <= number <= last and manifest_path(number) not in named:
                place.remove(manifest_path(number))
        for name in names:
            found = OF_STEP.fullmatch(name)
            if found and first <= int(found[1] or found[2]) <= last and name not in named:
                place.remove(name)
        place.remove(note)
    for name in filter(_NOTE_CUT_SHORT.fullmatch, names):
        place.remove(name)


def _note_path(new: Rewriting) -> str:
    return f"_manifest/.rewriting-{new.token}"


def _stand(place: Folder, new: Rewriting, written: bytes) -> bool:
    """Tell whether the old steps are as they were, or this is done already."""
    if place.read(manifest_path(new.number)) == written:
        return True
    return all(place.read(manifest_path(step.number)) == step.written for step in new.old)


def _take_back(place: Folder, new: Rewriting, written: bytes) -> None:
    """Remove what was written for nothing."""
    if place.read(manifest_path(new.number)) != written:
        for file in new.made:
            place.remove(file.path)
        place.remove(_note_path(new))
