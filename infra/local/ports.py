"""Free loopback ports, the same again after a restart."""

import fcntl
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from infra.local.errors import ServerUnavailable

HOST: Final = "127.0.0.1"
_PORTS: Final = range(20_000, 32_000)
"""Below what Linux hands to outgoing connections, so that a port is still free when its server comes back."""
_TRIES_MAX: Final = 200
_CLAIMS: Final = Path(tempfile.gettempdir()) / f"livecomments-ports-{os.getuid()}"
_held: Final[list[int]] = []
"""Locked files of `_CLAIMS`, one a port: until its server listens, no other process may find it free, nor we again."""


def claim_ports(data_dir: Path, wanted: Mapping[str, int | None]) -> dict[str, int]:
    """Choose a port for each name: the one wanted, else the one `data_dir` remembers, else a free one; remember all."""
    file = data_dir / "ports.json"
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports: dict[str, int] = {}
    for name, port in wanted.items():
        ports[name] = port or kept.get(name) or free_port(except_for=ports.values())
    if ports != kept:
        data_dir.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(ports))
    return ports


def is_free(port: int) -> bool:
    """Tell whether a server could listen on `port` now."""
    with socket.socket() as probe:
        # As the JVM does: connections of a server that was just killed do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Tell whether somebody accepts connections on `port`."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port(except_for: Iterable[int] = ()) -> int:
    """Choose a free port and claim it for the life of this process. Raises ServerUnavailable: none was found."""
    for _ in range(_TRIES_MAX):
        port = secrets.choice(_PORTS)  # of no generator that a test may have seeded
        if port not in except_for and is_free(port) and _is_claimed_now(port):
            return port
    raise ServerUnavailable(f"No free port found from {_PORTS.start} to {_PORTS.stop - 1}; name one yourself.")


def _is_claimed_now(port: int) -> bool:
    """Claim the port for the life of this process; tell whether nobody else had claimed it."""
    _CLAIMS.mkdir(mode=0o700, exist_ok=True)
    file = os.open(_CLAIMS / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return False
    _held.append(file)
    return True
