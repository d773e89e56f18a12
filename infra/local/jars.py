"""What is missing on this machine, and the jars Maven gathers once."""

import fcntl
import hashlib
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from infra.local.errors import ServerUnavailable

Kind = Literal["kafka", "cassandra"]

ROOM: Final = Path(__file__).resolve().parent
RUN_DIR: Final = ROOM.parents[1] / ".run"
"""Where servers of this checkout live by default; ignored by git, safe to remove while nothing runs."""
LIB_DIR: Final = RUN_DIR / "lib"

_POM: Final = ROOM / "pom.xml"
_JAVA: Final = range(17, 24)
"""Kafka 4 needs 17; 24 dropped the security manager, without which Cassandra 5.0 does not start. Tried: 17 and 21."""
_MAVEN_TIMEOUT_S: Final = 900
"""110 MB over a slow line, with room."""
_INSTALL: Final = "install a JDK from 17 to 23, e.g. apt-get install openjdk-17-jre-headless, and Maven"


def why_unavailable(lib_dir: Path = LIB_DIR) -> str | None:
    """Return why no server can be started here, and what to do; None if nothing is known to be missing.

    Asks only this machine: whether Maven reaches its repository shows when the jars are gathered.
    """
    if shutil.which("java") is None:
        return f"No java found: {_INSTALL}."
    version = _java_version()
    if version not in _JAVA:
        return f"The java found is version {version}: {_INSTALL}."
    gathered = _is_gathered(lib_dir / "kafka") and _is_gathered(lib_dir / "cassandra")
    if not gathered and shutil.which("mvn") is None:
        return f"No mvn found: {_INSTALL}."
    if importlib.util.find_spec("aiokafka") is None or importlib.util.find_spec("cassandra") is None:
        return "The Kafka and CQL clients are missing: pip install 'livecomments[distributed]'."
    return None


def java() -> str:
    """Return the path of the JVM.

    Raises:
        ServerUnavailable: there is none.
    """
    path = shutil.which("java")
    if path is None:
        raise ServerUnavailable(f"No java found: {_INSTALL}.")
    return path


def class_path(kind: Kind, lib_dir: Path, on_step: Callable[[str], None]) -> str:
    """Return the class path of a server; gather its jars first if they are missing or `pom.xml` has changed since.

    Raises:
        ServerUnavailable: no Maven, or Maven failed.
    """
    jar_dir = lib_dir / kind
    # One at a time, since two Mavens must not write the same local repository.
    with locked(lib_dir / "gather.lock"):
        if not _is_gathered(jar_dir):
            on_step("gathering its jars with Maven, once")
            _gather(kind, jar_dir)
    return f"{jar_dir}/*"


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold a lock on `file` against other processes and threads; a process that dies lets go of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _gather(kind: Kind, jar_dir: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        raise ServerUnavailable(f"No mvn found: {_INSTALL}.")
    shutil.rmtree(jar_dir, ignore_errors=True)
    arguments = ["-q", "-B", "-f", str(_POM), "-P", kind, "dependency:copy-dependencies", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, our own pom
            [maven, *arguments, f"-DoutputDirectory={jar_dir}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_MAVEN_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise ServerUnavailable(f"Maven took more than {_MAVEN_TIMEOUT_S} s; check the network, try again.") from late
    if done.returncode:
        reasons = [line for line in done.stdout.splitlines() if "ERROR" in line] or done.stdout.splitlines()
        raise ServerUnavailable(f"Maven could not gather the jars of {kind}: {reasons[0] if reasons else 'no reason'}")
    _seal(jar_dir).write_text(_pom_digest())


def _is_gathered(jar_dir: Path) -> bool:
    seal = _seal(jar_dir)
    return seal.exists() and seal.read_text() == _pom_digest()


def _seal(jar_dir: Path) -> Path:
    """Return the file that is written last, with the pom's digest: without it, jars are half a download or old."""
    return jar_dir / "pom.sha256"


def _pom_digest() -> str:
    return hashlib.sha256(_POM.read_bytes()).hexdigest()


def _java_version() -> int:
    """Return Java's major version; 0 if it does not say."""
    said = subprocess.run(  # noqa: S603 - fixed arguments
        [java(), "-version"], capture_output=True, text=True, timeout=30, check=False
    )
    found = re.search(r'version "(\d+)', said.stderr + said.stdout)
    return int(found[1]) if found else 0
