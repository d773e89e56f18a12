"""Places: a directory and a bucket promise the same; the bucket is of another hand, over the network."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.fs
import pytest
from rich.console import Console

from livecomments_command.records.erase_feeds import erase_from_feed
from livecomments_command.records.export import ExportPlan, export
from livecomments_command.records.feed import Rhythm
from livecomments_command.records.feed_steps import FeedPlan
from livecomments_command.records.feeding import run_feed
from livecomments_command.records.kept_files import FilesFailed
from livecomments_command.records.places import Directory, Folder, PlaceUnavailable, folder_of, name_of
from livecomments_schemas.errors import StartRefused
from tests.command.installation import append, comment, installation, make_file, opened
from tests.command.records.chain import State, digest_of, merge
from tests.command.records.test_rebuild import fill

QUIET = Console(quiet=True)
PART_BYTES = 5 << 20
"""Of S3: what is larger is uploaded in parts."""

Server = tuple[subprocess.Popen[bytes], str]


@pytest.fixture(scope="module")
def bucket() -> Iterator[Server]:
    """The process of an object store, and the address of a folder in a bucket of it, `{}` its name."""
    started = subprocess.Popen([sys.executable, "-m", "tests.command.records.bucket_server"], stdout=subprocess.PIPE)
    try:
        assert started.stdout is not None
        port = int(started.stdout.readline())
        options = f"scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1&allow_bucket_creation=true"
        files, root = pyarrow.fs.FileSystem.from_uri(f"s3://testing:secret@lake?{options}")
        files.create_dir(root)
        yield started, f"s3://testing:secret@lake/{{}}?{options}"
    finally:
        started.kill()
        started.wait()
        started.stdout.close()  # type: ignore[union-attr]  # it is a pipe


@pytest.fixture(params=["directory", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "directory":
        return Directory(tmp_path / "place")
    _, address = request.getfixturevalue("bucket")
    return folder_of(address.format("contract"))


def test_a_place_holds_what_was_written_whole(place: Folder) -> None:
    large = bytes(range(256)) * (3 * PART_BYTES // 256)
    assert place.names() == []
    assert place.read("_manifest/1.json") is None
    with place.held():
        place.write("day=2026-11-22/large", large)
        place.write("_manifest/1.json", b"old")
        place.write("_manifest/1.json", b"new")
    assert sorted(place.names()) == ["_manifest/1.json", "day=2026-11-22/large"]
    assert place.read("_manifest/1.json") == b"new"
    assert place.read("day=2026-11-22/large") == large
    place.remove("day=2026-11-22/large")
    place.remove("day=2026-11-22/large")
    assert place.names() == ["_manifest/1.json"]


def test_a_feed_goes_on_in_a_bucket_and_beside_it(bucket: Server, tmp_path: Path) -> None:
    made, plan = installation(tmp_path / "data"), FeedPlan("parquet")
    address = bucket[1].format("comments")

    async def run() -> str:
        await make_file(made)
        for since in (0, 60, 120):
            async with opened(made) as found:
                await fill(found, 60, since)
            assert (await run_feed(made, QUIET, address, plan, Rhythm(bytes_max=20_000))).steps
        after = FeedPlan("jsonl", None, address)
        async with opened(made) as found:
            await fill(found, 60, 180)
        await run_feed(made, QUIET, str(tmp_path / "beside"), after, Rhythm())
        async with opened(made) as found:
            return (await export(found, QUIET, ExportPlan(tmp_path / "now", "jsonl"))).digest

    digest = asyncio.run(run())
    state = merge(downloaded(address, tmp_path / "copied"), {})
    assert b"secret" not in b"".join(path.read_bytes() for path in (tmp_path / "beside" / "_manifest").iterdir())
    assert digest_of(merge(tmp_path / "beside", state)) == digest


def test_killed_at_any_change_to_a_bucket_a_feed_is_whole_and_the_next_command_clears_up(
    bucket: Server, tmp_path: Path
) -> None:
    made, kept, plan = installation(tmp_path / "data"), tmp_path / "kept", FeedPlan("jsonl")

    async def begin() -> State:
        await make_file(made)
        for _ in range(3):
            async with opened(made) as found:
                await append(found, [comment("demo", number, author=("ana", "ben")[number % 2]) for number in range(9)])
            await run_feed(made, QUIET, str(kept), plan, Rhythm())
        return merge(kept, {})

    now, event, code = asyncio.run(begin()), 0, -signal.SIGKILL
    others = {key: line for key, line in now.items() if b'"ben"' in line}
    while code == -signal.SIGKILL:
        event += 1
        address, there = bucket[1].format(f"killed-{event}"), tmp_path / f"killed-{event}"
        for name in Directory(kept).names():
            folder_of(address).write(name, (kept / name).read_bytes())
        module = "tests.command.records.dying_rewriting"
        code = subprocess.run([sys.executable, "-m", module, address, str(event)], timeout=100, check=False).returncode
        assert code in (0, -signal.SIGKILL)
        state = merge(downloaded(address, there / "cut"), {}, is_cut=True)
        assert others.items() <= state.items() <= now.items()
        asyncio.run(run_feed(made, QUIET, address, plan, Rhythm()))
        assert merge(downloaded(address, there / "on"), {}) == state
    assert state == others
    assert event > 10


def downloaded(address: str, into: Path) -> Path:
    """All of a folder of the bucket."""
    place = folder_of(address)
    for name in place.names():
        Directory(into).write(name, place.read(name) or b"")
    return into


class Away(Directory):
    """A bucket that is away at some of the calls, each of which is made again."""

    def __init__(self, root: Path, at: set[int]) -> None:
        super().__init__(root)
        self._at = at
        self._call = 0

    def write(self, path: str, content: bytes) -> None:
        self._ask()
        super().write(path, content)

    def remove(self, path: str) -> None:
        self._ask()
        super().remove(path)

    def _ask(self) -> None:
        self._call += 1
        if self._call in self._at:
            raise PlaceUnavailable("s3://bucket: no answer")


def test_a_bucket_that_is_away_at_times_is_waited_for_and_all_is_counted(tmp_path: Path) -> None:
    made, where, plan = installation(tmp_path / "data"), tmp_path / "feed", FeedPlan("jsonl")

    async def run() -> tuple[int, int]:
        await make_file(made)
        async with opened(made) as found:
            await append(found, [comment("demo", number, author=("ana", "ben")[number % 2]) for number in range(9)])
        await run_feed(made, QUIET, str(where), plan, Rhythm())
        away = Away(where, {2, 5, 8, 12})  # the new file, the manifest, what is old
        return await erase_from_feed(away, QUIET, "ana"), len(merge(where, {}))

    assert asyncio.run(run()) == (5, 4)


def test_no_account_is_told() -> None:
    assert name_of("s3://key:secret@lake/a?region=x") == "s3://lake/a"
    assert name_of("./a?b") == "./a?b"


def test_what_is_no_bucket_is_refused() -> None:
    for address in ("s3://", "sftp://lake/comments"):
        with pytest.raises(StartRefused):
            folder_of(address)


def test_a_bucket_that_is_not_there_is_unavailable(bucket: Server) -> None:
    place = folder_of(bucket[1].replace("lake/{}", "nowhere/comments").replace("&allow_bucket_creation=true", ""))
    with pytest.raises(PlaceUnavailable, match=r"^s3://nowhere/comments: "):
        place.write("a", b"a")


def test_a_bucket_that_goes_away_ends_a_feed_with_a_sentence(bucket: Server, tmp_path: Path) -> None:
    made = installation(tmp_path / "data")
    address = bucket[1].replace("lake/{}", "nowhere/comments").replace("&allow_bucket_creation=true", "")

    async def run() -> None:
        await make_file(made)
        async with opened(made) as found:
            await fill(found, 5)
        with pytest.raises(FilesFailed, match="run this again, it goes on"):
            await run_feed(made, QUIET, address, FeedPlan("jsonl"), Rhythm(place_tries=1))

    asyncio.run(run())
