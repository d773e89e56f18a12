"""What a lake does with a feed: checks that its steps join, and merges them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow.parquet

from livecomments_command.records.export import Manifest
from livecomments_command.records.export_files import Digest, read_lines

State = dict[tuple[str, str], bytes]
"""By video and comment id, the comment's public JSON."""


class Row(NamedTuple):
    """A row of a feed, whatever its form."""

    op: str
    video_id: str
    comment_id: str
    position: int
    line: bytes | None


def manifests(directory: Path, *, is_cut: bool = False) -> list[dict[str, Any]]:
    """Those of a feed that count, in order; each begins where the one before ended, and names files that are whole.

    Nothing else is there, unless a command was cut short.
    """
    said = [orjson.loads(path.read_bytes()) for path in sorted((directory / "_manifest").glob("[0-9]*.json"))]
    found = [one for one in said if not any(other["firstStep"] <= one["step"] < other["step"] for other in said)]
    ends: dict[tuple[int, str], str] = {}
    following = 1
    for one in found:
        assert one["firstStep"] == following
        following = one["step"] + 1
        for partition, place in one["partitions"].items():
            assert ends.get((one["epoch"], partition), place["after"]) == place["after"]
            ends[one["epoch"], partition] = place["through"]
        for file in (*one["files"], *one["facts"]):
            content = (directory / file["path"]).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
    named = {file["path"] for one in found for file in (*one["files"], *one["facts"])}
    there = {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()}
    named |= {f"_manifest/{one['step']:09d}.json" for one in found}
    assert there >= named if is_cut else there == named
    return found


def rows(directory: Path, file: dict[str, Any]) -> Iterator[Row]:
    """The rows of one file; what its manifest says of them holds."""
    path = directory / file["path"]
    if path.suffix == ".jsonl":
        found = [
            Row(one["op"], one["videoId"], one["commentId"], one["position"], line.partition(b',"comment":')[2][:-1])
            for line in path.read_bytes().splitlines()
            for one in [orjson.loads(line)]
        ]
    else:
        table = pyarrow.parquet.read_table(path, columns=["op", "video_id", "comment_id", "position", "json"])
        found = [Row(*values) for values in zip(*(column.to_pylist() for column in table.columns), strict=True)]
        found = [row._replace(line=row.line.encode() if isinstance(row.line, str) else None) for row in found]
    assert file["rows"] == len(found)
    assert file["deletes"] == sum(row.op == "delete" for row in found)
    assert [file["firstPosition"], file["lastPosition"]] == [f(row.position for row in found) for f in (min, max)]
    assert [(row.video_id, row.position) for row in found] == sorted((row.video_id, row.position) for row in found)
    yield from found


def merge(directory: Path, state: State, *, is_cut: bool = False) -> State:
    """Merge a feed into what was there. A step says each comment once, and no step says one again."""
    for one in manifests(directory, is_cut=is_cut):
        said = [row for file in one["files"] for row in rows(directory, file)]
        assert len({(row.video_id, row.comment_id) for row in said}) == len(said)
        for op, video_id, comment_id, _, line in said:
            if op == "delete":
                state.pop((video_id, comment_id), None)
            else:
                assert op == "upsert"
                assert line
                assert (video_id, comment_id) not in state
                state[video_id, comment_id] = line
    return state


def exported_state(manifest: Manifest) -> State:
    """What an export holds."""
    state = {}
    for _, path in manifest.files():
        for line in read_lines(path):
            one = orjson.loads(line)
            state[one["videoId"], one["commentId"]] = line
    return state


def digest_of(state: State) -> str:
    """Of all its comments, as an export's."""
    digest = Digest()
    for line in state.values():
        digest.add(line)
    return str(digest)
