"""`livecomments backup` and `restore`: a copy made under load is whole, and no id is ever given again."""

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from livecomments.embedded.backup import CopyRefused
from livecomments.sqlite import FILE_NAME
from livecomments_command.backups import MANIFEST, back_up, restore_to
from livecomments_command.records.kept_files import FilesInUse, FilesRefused, held_directory
from livecomments_command.records.opened import opened_epochs
from livecomments_command.settings import KEPT_SECRET, ToolSettings
from livecomments_schemas.errors import StartRefused
from tests.embedded.test_epochs import MADE_BEFORE
from tests.live.stream import environment_of
from tests.served import Served, served

BOUND_S = 60.0
NOW_S = 1_800_000_000.0
PARTITIONS = 2
WITHOUT_LIMIT = 1_000_000


def run(*arguments: object, **values: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "livecomments_command", *map(str, arguments)],
        env=environment_of(values),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )


def at(data_dir: Path) -> dict[str, str]:
    return {"DATA_DIR": str(data_dir)}


async def shown(running: Served, video: str) -> dict[str, str]:
    """Every comment of a video by its id."""
    found: dict[str, str] = {}
    query = {"sort": "asc", "pageSize": 100}
    while True:
        page = await running.page(video, **query)
        found |= {comment["commentId"]: comment["message"] for comment in page["comments"]}
        if page["nextCursor"] is None:
            return found
        query["cursor"] = page["nextCursor"]


async def post(running: Served, message: str, token: str, video: str = "v") -> str:
    status, comment = await running.post(video, message, token)
    assert status == 201, comment
    return str(comment["commentId"])


async def kept(directory: Path, *messages: str) -> list[str]:
    """Make a data directory that holds these comments; their ids."""
    async with served(directory) as running:
        token = await running.token()
        return [await post(running, message, token) for message in messages]


class Writing:
    """Comments that are written all the time, by id as soon as they are answered."""

    def __init__(self) -> None:
        self.answered: dict[str, str] = {}
        self._more = asyncio.Condition()

    async def write(self, running: Served, video: str, token: str) -> None:
        for number in range(1_000_000):
            self.answered[await post(running, f"{video} {number}", token, video)] = f"{video} {number}"
            async with self._more:
                self._more.notify_all()

    async def reaches(self, count: int) -> None:
        async with asyncio.timeout(BOUND_S), self._more:
            await self._more.wait_for(lambda: len(self.answered) >= count)


@asynccontextmanager
async def written_to(running: Served, token: str) -> AsyncIterator[Writing]:
    writing = Writing()
    writers = [asyncio.create_task(writing.write(running, f"v{number}", token)) for number in range(4)]
    try:
        yield writing
    finally:
        for writer in writers:
            writer.cancel()
        await asyncio.wait(writers)


async def test_what_was_answered_before_a_back_up_under_load_is_served_by_what_is_restored(tmp_path: Path) -> None:
    async with served(tmp_path / "data", user_comments_max=WITHOUT_LIMIT) as running:
        token = await running.token()
        async with written_to(running, token) as writing:
            await writing.reaches(50)
            before = dict(writing.answered)
            done = await asyncio.to_thread(run, "backup", tmp_path / "copy", "--data-dir", tmp_path / "data")
            assert done.returncode == 0, done.stderr
            assert done.stdout.startswith(f"backed up to {tmp_path / 'copy'}: ")
            await writing.reaches(len(writing.answered) + 50)
    done = await asyncio.to_thread(run, "restore", tmp_path / "copy", "--data-dir", tmp_path / "other")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"restored to {tmp_path / 'other'}, which goes on in epoch 2\n"
    async with served(tmp_path / "other", user_comments_max=WITHOUT_LIMIT) as running:
        found: dict[str, str] = {}
        for number in range(4):
            found |= await shown(running, f"v{number}")
        async with written_to(running, token) as again:  # the secret is the same
            await again.reaches(50)
    sent = {f"v{number} {count}" for number in range(4) for count in range(len(writing.answered))}
    assert before.items() <= found.items()
    assert writing.answered.items() - found.items(), "nothing was written after the back-up"
    assert {*found.values()} <= sent
    assert min(again.answered) > max(writing.answered)


def clock_at(now_s: float) -> Callable[[], float]:
    return lambda: now_s


async def test_two_that_are_restored_from_one_back_up_give_no_id_twice(tmp_path: Path) -> None:
    given = await kept(tmp_path / "data", "a")
    back_up(tmp_path / "data", tmp_path / "copy")
    for number in range(3):
        directory = tmp_path / f"restored {number}"
        await restore_to(tmp_path / "copy", directory, PARTITIONS, clock=clock_at(NOW_S + number))
        given += await kept(directory, *(f"{number}" for number in range(5)))
    assert len(set(given)) == len(given) == 16


async def test_a_restored_one_is_backed_up_restored_and_verified_like_any(tmp_path: Path) -> None:
    ids = await kept(tmp_path / "data", "0")
    for number in (1, 2):
        back_up(tmp_path / "data", tmp_path / f"copy {number}")
        (tmp_path / "data").rename(tmp_path / f"lost {number}")
        epoch = await restore_to(tmp_path / f"copy {number}", tmp_path / "data", PARTITIONS)
        assert epoch.number == number + 1
        ids += await kept(tmp_path / "data", f"{number}")
    async with served(tmp_path / "data") as running:
        assert [*(await shown(running, "v")).items()] == [*zip(ids, ["0", "1", "2"], strict=True)]
    done = run("verify", **at(tmp_path / "data"))
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_comment_of_before_can_be_deleted_after_and_is_in_no_export_of_its_epoch(tmp_path: Path) -> None:
    async with served(tmp_path / "data") as running:
        token = await running.token()
        gone, stays = await post(running, "gone", token), await post(running, "stays", token)
    back_up(tmp_path / "data", tmp_path / "copy")
    await restore_to(tmp_path / "copy", tmp_path / "other", PARTITIONS)
    async with served(tmp_path / "other") as running:
        headers = {"Authorization": f"Bearer {token}"}
        async with running.client.delete(f"/comments/v/{gone}", headers=headers) as answer:
            assert answer.status == 204
        assert await shown(running, "v") == {stays: "stays"}
    done = run("export", tmp_path / "export", "--epoch", "1", **at(tmp_path / "other"))
    assert done.returncode == 0, done.stderr
    exported = b"".join(path.read_bytes() for path in (tmp_path / "export").rglob("*.jsonl"))
    assert b"stays" in exported
    assert b"gone" not in exported


async def test_a_viewer_who_saw_what_is_lost_comes_back_and_misses_nothing(tmp_path: Path) -> None:
    await kept(tmp_path / "data", "kept")
    back_up(tmp_path / "data", tmp_path / "copy")
    (lost,) = await kept(tmp_path / "data", "lost")
    await restore_to(tmp_path / "copy", tmp_path / "other", PARTITIONS)
    async with served(tmp_path / "other") as running:
        await post(running, "new", await running.token())
        async with running.client.get("/comments/v/stream", headers={"Last-Event-ID": lost}) as stream:
            seen = b""
            async with asyncio.timeout(BOUND_S):
                while b'"new"' not in seen:
                    seen += await stream.content.readline()
    assert b"event: gap" not in seen
    assert b'"kept"' not in seen


async def test_a_directory_of_the_version_before_is_backed_up_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    made = sqlite3.connect(tmp_path / "data" / FILE_NAME)
    made.executescript(MADE_BEFORE.read_text())
    made.close()
    back_up(tmp_path / "data", tmp_path / "copy")
    await restore_to(tmp_path / "copy", tmp_path / "other", PARTITIONS)
    epochs = await opened_epochs(ToolSettings(data_dir=tmp_path / "other"))
    assert [(one.number, one.is_closed) for one in epochs.known] == [(1, True), (2, True), (3, False)]
    async with served(tmp_path / "other") as running:
        kept = ["a stored 1", "a stored 2", "a not stored 0", "a not stored 1", "a second epoch"]
        assert [*(await shown(running, "a")).values()] == kept


def flipped(copy: Path) -> None:
    content = bytearray((copy / FILE_NAME).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / FILE_NAME).write_bytes(content)


def cut(copy: Path) -> None:
    content = (copy / FILE_NAME).read_bytes()
    (copy / FILE_NAME).write_bytes(content[: len(content) // 2])


def other_secret(copy: Path) -> None:
    (copy / KEPT_SECRET).write_bytes(b"x" * 32)


def without(name: str) -> Callable[[Path], None]:
    return lambda copy: (copy / name).unlink()


def told(content: object) -> Callable[[Path], None]:
    def write(copy: Path) -> None:
        (copy / MANIFEST).write_bytes(orjson.dumps(content))

    return write


@pytest.mark.parametrize(
    "harm",
    [
        flipped,
        cut,
        other_secret,
        without(FILE_NAME),
        without(KEPT_SECRET),
        without(MANIFEST),
        told([]),
        told({"files": {}}),
        told({"files": {FILE_NAME: {}}}),
        told({"files": None}),
    ],
)
async def test_a_back_up_that_is_not_whole_is_not_restored(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    await kept(tmp_path / "data", "a")
    back_up(tmp_path / "data", tmp_path / "copy")
    harm(tmp_path / "copy")
    with pytest.raises(CopyRefused, match=r"not what was backed up|no whole back-up"):
        await restore_to(tmp_path / "copy", tmp_path / "other", PARTITIONS)
    assert not (tmp_path / "other").exists()


async def test_a_file_that_is_damaged_is_not_backed_up(tmp_path: Path) -> None:
    await kept(tmp_path / "data", *(f"{number} " + "x" * 400 for number in range(40)))
    file = tmp_path / "data" / FILE_NAME
    content = bytearray(file.read_bytes())
    pages = range(4_096, len(content), 4_096)
    for page in pages:
        content[page : page + 8] = b"\xff" * 8
    file.write_bytes(content)
    with pytest.raises(CopyRefused, match=r"damaged|malformed"):
        back_up(tmp_path / "data", tmp_path / "copies" / "copy")
    assert [*(tmp_path / "copies").iterdir()] == []


async def test_what_was_killed_is_backed_up_with_what_it_had_answered(tmp_path: Path) -> None:
    """Its newest part stands in the file beside it."""
    async with served(tmp_path / "data") as running:
        comment = await post(running, "a", await running.token())
        (tmp_path / "killed").mkdir()
        for path in (tmp_path / "data").iterdir():
            if not path.name.endswith("-shm"):
                (tmp_path / "killed" / path.name).write_bytes(path.read_bytes())
    back_up(tmp_path / "killed", tmp_path / "copy")
    await restore_to(tmp_path / "copy", tmp_path / "other", PARTITIONS)
    async with served(tmp_path / "other") as running:
        assert await shown(running, "v") == {comment: "a"}


async def test_what_is_in_the_way_stays_as_it_was(tmp_path: Path) -> None:
    await kept(tmp_path / "data", "a")
    back_up(tmp_path / "data", tmp_path / "copy")
    before = (tmp_path / "copy" / FILE_NAME).read_bytes()
    with pytest.raises(FilesRefused, match="is there already"):
        back_up(tmp_path / "data", tmp_path / "copy")
    with pytest.raises(FilesRefused, match="is there already"):
        await restore_to(tmp_path / "copy", tmp_path / "data", PARTITIONS)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / KEPT_SECRET).write_bytes(b"x" * 32)
    with pytest.raises(FilesRefused, match="is there already"):
        await restore_to(tmp_path / "copy", tmp_path / "other", PARTITIONS)
    assert before == (tmp_path / "copy" / FILE_NAME).read_bytes()
    assert [path.name for path in (tmp_path / "other").iterdir()] == [KEPT_SECRET]


async def test_two_are_not_restored_to_one_place_nor_over_who_began_there_meanwhile(tmp_path: Path) -> None:
    await kept(tmp_path / "data", "a")
    back_up(tmp_path / "data", tmp_path / "copy")
    place = tmp_path / "other"
    place.mkdir()
    with held_directory(place), pytest.raises(FilesInUse, match="another command is at work"):
        await restore_to(tmp_path / "copy", place, PARTITIONS)

    def begun_meanwhile() -> float:
        (place / FILE_NAME).write_bytes(b"of a service")
        return time.time()

    with pytest.raises(FilesRefused, match="is there already"):
        await restore_to(tmp_path / "copy", place, PARTITIONS, clock=begun_meanwhile)
    assert [path.name for path in place.iterdir()] == [FILE_NAME]
    assert (place / FILE_NAME).read_bytes() == b"of a service"


async def test_nobody_else_may_read_a_back_up(tmp_path: Path) -> None:
    await kept(tmp_path / "data", "a")
    back_up(tmp_path / "data", tmp_path / "copy")
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "copy", *(tmp_path / "copy").iterdir())}
    assert modes == {0}


def test_servers_are_backed_up_otherwise_and_that_is_said(tmp_path: Path) -> None:
    done = run("backup", tmp_path / "copy", KAFKA="127.0.0.1:1", CQL="127.0.0.1:1")
    assert (done.returncode, done.stderr.count("livecomments: Only the embedded form")) == (2, 1)


async def test_where_nothing_is_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="Nothing is kept in"):
        back_up(tmp_path / "nothing", tmp_path / "copy")
    with pytest.raises(CopyRefused, match="no whole back-up"):
        await restore_to(tmp_path / "nothing", tmp_path / "other", PARTITIONS)
    assert sorted(os.listdir(tmp_path)) == []
