"""Two of one tool in one place, and places that cannot be written: a sentence, and an exit code that means it."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from livecomments.runtime.settings import PREFIX
from livecomments_command.records.erase_exports import erase_from
from livecomments_command.records.kept_files import (
    FilesFailed,
    FilesInUse,
    FilesRefused,
    held_directory,
    held_file,
    on_files,
)
from livecomments_command.records.opened import opened
from livecomments_command.settings import ToolSettings
from tests.command.installation import append, comment, installation, make_file
from tests.command.records.chain import manifests
from tests.command.records.test_rebuild import QUIET, VIDEOS, fill

REFUSED, FAILED, IN_USE = FilesRefused.exit_code, FilesFailed.exit_code, FilesInUse.exit_code


@pytest.fixture
def settings(tmp_path: Path) -> ToolSettings:
    made = installation(tmp_path / "data")

    async def make() -> None:
        await make_file(made)
        async with opened(made) as found:
            await fill(found, 3_000)

    asyncio.run(make())
    return made


def told(
    settings: ToolSettings,
    *arguments: str,
    out: Path | None = None,
    before: Callable[[], object] | None = None,
) -> tuple[int, str]:
    """The command's exit code, and what it says on stderr, which is never a traceback."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environ |= {PREFIX + "DATA_DIR": str(settings.data_dir), PREFIX + "PARTITIONS": str(settings.partitions)}
    command = [sys.executable, "-m", "livecomments_command", *arguments]
    with (out or Path(os.devnull)).open("wb") as into:
        done = subprocess.run(command, stdout=into, stderr=subprocess.PIPE, env=environ, timeout=60, preexec_fn=before)
    said = done.stderr.decode()
    assert "Traceback" not in said, said
    return done.returncode, " ".join(line for line in said.splitlines() if line.startswith("livecomments:"))


def test_an_export_beside_another_says_so_and_touches_nothing(settings: ToolSettings, tmp_path: Path) -> None:
    place = tmp_path / "export"
    place.mkdir()
    with held_directory(place):
        code, said = told(settings, "export", str(place))
        assert (code, "another command is at work" in said) == (IN_USE, True)
        assert list(place.iterdir()) == []
    assert told(settings, "export", str(place)) == (0, "")
    assert told(settings, "verify", "--export", str(place))[0] in (0, 1)


@pytest.mark.parametrize("arguments", [["replay"], ["rebuild", "--from-start"]])
def test_a_checkpoint_is_of_one_command_at_a_time(settings: ToolSettings, tmp_path: Path, arguments: list[str]) -> None:
    checkpoint = tmp_path / "checkpoint"
    with held_file(checkpoint):
        assert told(settings, *arguments, "--checkpoint", str(checkpoint))[0] == IN_USE
        assert told(settings, *arguments, "--checkpoint", str(tmp_path / "other")) == (0, "")
    assert told(settings, *arguments, "--checkpoint", str(checkpoint)) == (0, "")


def test_who_is_killed_lets_go(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib\n"
        "from livecomments_command.records.kept_files import held_directory\n"
        "with held_directory(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(FilesInUse), held_directory(tmp_path):
            pass
        holder.send_signal(signal.SIGKILL)
    with held_directory(tmp_path):
        pass


def test_a_place_that_can_be_no_export_is_refused_with_its_name(settings: ToolSettings, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    for place in (file, file / "below", dangling, Path("/proc/export")):
        code, said = told(settings, "export", str(place))
        assert (code, str(place) in said) == (REFUSED, True), said
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ["rebuild", "--from-start", "--checkpoint"],
        ["replay", "--checkpoint"],
        ["replay", "--out"],
        ["export"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["pipe", "/dev/zero"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    settings: ToolSettings, tmp_path: Path, arguments: list[str], kind: str
) -> None:
    """A pipe to which nobody writes never ends, and neither does a device that gives zeros."""
    place = Path(kind)
    if kind == "pipe":
        place = tmp_path / "pipe"
        os.mkfifo(place)
    code, said = told(settings, *arguments, str(place))
    assert (code, str(place) in said) == (REFUSED, True), said


def test_a_checkpoint_that_is_a_link_is_the_file_that_it_names(settings: ToolSettings, tmp_path: Path) -> None:
    real, link, dangling = tmp_path / "real", tmp_path / "link", tmp_path / "dangling"
    link.symlink_to(real)
    dangling.symlink_to(tmp_path / "nowhere")
    code, said = told(settings, "replay", "--checkpoint", str(dangling))
    assert (code, "link to what is not there" in said) == (REFUSED, True)
    assert told(settings, "replay", "--checkpoint", str(real)) == (0, "")
    assert told(settings, "replay", "--checkpoint", str(link)) == (0, "")
    assert link.is_symlink()


def test_a_full_disk_is_told_as_that_and_what_is_there_is_whole(settings: ToolSettings, tmp_path: Path) -> None:
    place = tmp_path / "export"
    small_files = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
    code, said = told(settings, "export", str(place), before=small_files)
    assert (code, "run this again" in said) == (FAILED, True), said
    assert not [file for file in place.rglob("*") if file.suffix == ".new"]
    assert told(settings, "export", str(place)) == (0, "")
    assert told(settings, "replay", out=Path("/dev/full"))[0] == FAILED
    code, said = told(settings, "backup", str(tmp_path / "copy"), before=small_files)
    assert (code, "run this again" in said) == (FAILED, True), said
    assert not (tmp_path / "copy").exists()
    no_files = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
    code, said = told(settings, "verify", before=no_files)
    assert (code, "Cannot open" in said) == (FAILED, True), said


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_on_a_full_disk_a_feed_keeps_what_it_has_and_shows_nothing_half_made(
    settings: ToolSettings, tmp_path: Path, form: str
) -> None:
    place, changes = tmp_path / "feed", ("export", str(tmp_path / "feed"), "--changes", "--format", form)
    full = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
    code, said = told(settings, *changes, before=full)
    assert (code, "run this again" in said) == (FAILED, True), said
    assert not [path for path in place.rglob("*") if path.is_file()]

    async def more() -> None:
        async with opened(settings) as found:
            await append(
                found, [comment(VIDEOS[0], number, author=("ben", "eve")[number % 2]) for number in range(500)]
            )

    for _ in range(2):
        assert told(settings, *changes) == (0, "")
        asyncio.run(more())
    assert told(settings, *changes) == (0, "")
    there = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    code, said = told(settings, "compact", str(place), "--through-step", "3", before=full)
    assert (code, "run this again" in said) == (FAILED, True), said
    with pytest.raises(FilesFailed), limited(5_000):
        asyncio.run(erase_from(str(place), QUIET, "ben"))
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == there
    assert told(settings, "compact", str(place), "--through-step", "3") == (0, "")
    assert len(manifests(place)) == 1


@contextmanager
def limited(bytes_max: int) -> Iterator[None]:
    """Files grow no larger than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("arguments", [["verify"], ["epochs", "list"]], ids=" ".join)
def test_what_nobody_could_be_told_is_no_difference(settings: ToolSettings, arguments: list[str]) -> None:
    """Exit code 1 says that log and store differ; a standard output that is full says nothing of them."""
    code, said = told(settings, *arguments, out=Path("/dev/full"))
    assert (code, "Standard output: No space left" in said) == (FAILED, True), said


@pytest.mark.parametrize("command", ["load", "probe"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_done(
    settings: ToolSettings, tmp_path: Path, command: str
) -> None:
    code, said = told(settings, command, "--url", "http://127.0.0.1:1", "--json", str(tmp_path))
    assert (code, str(tmp_path) in said) == (REFUSED, True), said


def test_what_a_network_does_is_no_file_and_stays_what_it_is() -> None:
    for error in (ConnectionResetError(104, "reset"), TimeoutError(110, "late"), OSError("of some library")):
        with pytest.raises(type(error)) as raised, on_files("a file"):
            raise error
        assert raised.value is error
