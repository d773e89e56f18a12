"""What the machine lets this process have: open files, which connections are too, and memory.

Container runtimes of today start a process with a soft limit of 1,024 open files, and no field of Kubernetes changes
it; the hard limit beside it is usually a million. At the soft limit a server refuses whoever comes next, and the first
to come is the health check: the pod is killed with all its viewers. So a process raises its limit when it starts, and
keeps connections of its public port below it.
"""

import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OPEN_FILES_MAX: Final = 1_048_576
"""What Linux allows a process at most by default (`fs.nr_open`), where a limit says that there is none."""
_RESERVED_MAX: Final = 256
"""For the internal port and its callers, the listening sockets, Kafka's brokers, the store's nodes and files."""
_BESIDE_STREAMS_MAX: Final = 256
"""Files open before anybody connects, and connections that are no streams: requests, and who is told to come back."""


@dataclass(frozen=True)
class OpenFiles:
    """How the open files that a process may have are shared out."""

    limit: int

    @property
    def connections_max(self) -> int:
        """Of the public port; what is above it is kept for the process itself."""
        return self.limit - min(_RESERVED_MAX, self.limit // 4)

    @property
    def refusals_max(self) -> int:
        """Connections of the public port with those that are being told that there are too many."""
        return (self.connections_max + self.limit) // 2

    @property
    def streams_max(self) -> int:
        """Of the public port's connections, so that others still come in and viewers can be told to come back."""
        return self.connections_max - min(_BESIDE_STREAMS_MAX, self.limit // 4)


def raise_open_files() -> OpenFiles:
    """Raise this process's soft limit on open files to its hard limit, and return what it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # macOS refuses what is above its own bound, however the limit reads
            pass
    return OpenFiles(_OPEN_FILES_MAX if soft == resource.RLIM_INFINITY else soft)


def memory_bytes(root: Path = Path("/")) -> int:
    """Return the memory that this process may use, in bytes: its control groups' limits, or else the machine's.

    Args:
        root: where `proc` and `sys` are.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits(root)])


def _group_limits(root: Path) -> list[int]:
    """Return the limits of the control group and of all above it, of either version, as far as they can be read."""
    limits = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        version_2 = number == "0" and not controllers
        if not version_2 and "memory" not in controllers.split(","):
            continue
        base = root / ("sys/fs/cgroup" if version_2 else "sys/fs/cgroup/memory")
        name = "memory.max" if version_2 else "memory.limit_in_bytes"
        parts = [part for part in path.split("/") if part and part != ".."]
        # In a container the path is often that of the host, and the container's own group is at the base.
        limits += [_text(base.joinpath(*parts[:depth], name)) for depth in range(len(parts) + 1)]
    return [int(limit) for limit in limits if limit.isdecimal()]


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
