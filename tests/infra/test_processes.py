"""A process known by its pid file; a script stands for the JVM."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.local.processes import ServerProcess
from tests.infra.waiting import WAIT_S, wait_until

STARTER = """
import sys, time
from pathlib import Path
from infra.local.processes import ServerProcess
for data_dir, how in zip(sys.argv[2::2], sys.argv[3::2]):
    ServerProcess(Path(data_dir)).spawn(sys.argv[1], [], detached=how == "detached")
print("started", flush=True)
time.sleep(60)
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "a server"
    path.mkdir()
    yield path
    ServerProcess(path).kill()


@pytest.fixture
def program(tmp_path: Path) -> str:
    return script(tmp_path / "program", "time.sleep(60)")


def script(file: Path, body: str) -> str:
    file.write_text(f"#!{sys.executable}\nimport signal, time\n{body}\n")
    file.chmod(0o755)
    return str(file)


@contextmanager
def started_elsewhere(program: str, *dirs_and_how: Path | str) -> Iterator[None]:
    """A process that starts servers, and is killed at the end."""
    arguments = [program, *map(str, dirs_and_how)]
    starter = subprocess.Popen([sys.executable, "-c", STARTER, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "started\n"
        yield
    finally:
        starter.kill()
        starter.communicate(timeout=WAIT_S)


def test_a_process_is_found_again_and_ended_by_its_directory_alone(data_dir: Path, program: str) -> None:
    first = ServerProcess(data_dir)
    first.spawn(program, [], detached=False)
    again = ServerProcess(data_dir)
    assert again.pid == first.pid is not None
    again.stop(WAIT_S)
    assert ServerProcess(data_dir).pid is None


def test_a_process_that_ignores_sigterm_is_killed(data_dir: Path, tmp_path: Path) -> None:
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    server = ServerProcess(data_dir)
    server.spawn(script(tmp_path / "stubborn", stubborn), [], detached=False)
    wait_until(lambda: server.log_tail() == "up")
    server.stop(timeout_s=0.1)
    assert server.pid is None


def test_a_pid_file_that_names_somebody_else_is_not_believed(data_dir: Path) -> None:
    (data_dir / "server.pid").write_text(str(os.getpid()))
    server = ServerProcess(data_dir)
    assert server.pid is None
    server.signal(signal.SIGKILL)  # were it believed, this would be the last line of the run


def test_a_directory_whose_name_begins_the_same_is_another_server(data_dir: Path, program: str) -> None:
    other = data_dir.with_name("a server 2")
    other.mkdir()
    server = ServerProcess(other)
    # Started by a process that is no longer there, so that only the command line tells whose it is.
    with started_elsewhere(program, other, "detached"):
        pass
    (data_dir / "server.pid").write_text(str(server.pid))
    assert server.pid is not None
    assert ServerProcess(data_dir).pid is None
    server.kill()


def test_a_server_dies_with_its_starter_even_by_sigkill_unless_detached(data_dir: Path, program: str) -> None:
    other = data_dir.with_name("another")
    other.mkdir()
    # The detached one first: were it watched too, it would be dead by the time the other is.
    with started_elsewhere(program, data_dir, "detached", other, "attached"):
        detached, attached = ServerProcess(data_dir), ServerProcess(other)
        assert attached.pid is not None
    wait_until(lambda: attached.pid is None)
    assert detached.pid is not None
    detached.stop(WAIT_S)
    assert ServerProcess(data_dir).pid is None


def test_what_a_process_says_is_in_its_log(data_dir: Path, tmp_path: Path) -> None:
    server = ServerProcess(data_dir)
    server.spawn(script(tmp_path / "talker", "print('to stdout')\nraise SystemExit('to stderr')"), [], detached=False)
    wait_until(lambda: server.pid is None)
    assert sorted(server.log_tail().splitlines()) == ["to stderr", "to stdout"]
