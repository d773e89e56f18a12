"""What each command imports is what its process runs, and nothing beside: in a fresh interpreter, up to its refusal."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from livecomments.runtime.settings import PREFIX
from tests.live.stream import sentences

BOUND_S: Final = 60.0
SERVICES: Final = {"livecomments_gateway", "livecomments_consumers", "livecomments_streams"}
LOOKED_AT: Final = SERVICES | {
    "aiokafka",
    "cassandra",
    "faust",
    "livecomments_loadtest",
    "opentelemetry",
    "pyarrow",
    "starlette",
}
ALL_KNOW: Final = {f"{name}.settings" for name in SERVICES}
"""So that a name that another process takes is told from one that none does."""
EMBEDDED: Final = SERVICES | {"starlette"}
DISTRIBUTED: Final = {"aiokafka", "cassandra", "starlette"}
LETTERS: Final = {"aiokafka", "livecomments_streams"}
"""The stream job's form of a dead letter, and the persister that `rebuild` shares with it; never its runner."""
TELL: Final = """
import sys
from livecomments_command.__main__ import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
MISSING: Final = "/no/such/ca.pem"
"""Refused once everything is imported, and before anything is asked over the network."""
ON_SERVERS: Final = {
    PREFIX + "KAFKA": "127.0.0.1:1",
    PREFIX + "KAFKA_SECURITY": "SSL",
    PREFIX + "KAFKA_CA": MISSING,
    PREFIX + "CQL": "127.0.0.1:1",
    PREFIX + "CQL_TLS": "true",
    PREFIX + "CQL_CA": MISSING,
}


def imported(directory: Path, environ: dict[str, str], *arguments: str) -> set[str]:
    """Of the modules looked at, those that the command had imported when it was refused."""
    done = subprocess.run(
        [sys.executable, "-c", TELL, *arguments],
        cwd=directory,
        env={"PATH": "", **environ},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    *said, modules = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert sentences("\n".join(said)).startswith("livecomments: "), done.stderr
    names = [name for name in modules.split() if name not in ALL_KNOW]
    return {name.partition(".")[0] for name in names if "." in name} & LOOKED_AT


@pytest.mark.parametrize(
    ("command", "modules"),
    [
        ("gateway --port 0", DISTRIBUTED | {"livecomments_gateway"}),
        ("edge --port 0", DISTRIBUTED | {"livecomments_consumers"}),
        ("stream", DISTRIBUTED | {"livecomments_streams", "faust"}),
        ("topics", {"aiokafka"}),
        ("migrate", {"cassandra"}),
        ("export files --format jsonl", {"aiokafka"}),
        ("replay", {"aiokafka"}),
        ("verify", {"aiokafka"}),
        ("dead-letters list", LETTERS),
        ("rebuild", LETTERS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_on_servers_a_command_imports_what_it_runs(tmp_path: Path, command: str, modules: set[str]) -> None:
    assert imported(tmp_path, ON_SERVERS, *command.split()) == modules


def test_only_where_spans_are_wanted_their_library_is_imported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wanted = {PREFIX + "OTLP_ENDPOINT": "http://127.0.0.1:9"}
    assert imported(tmp_path, wanted, *["run", "--port", "0", "--data-dir", "file"]) == EMBEDDED | {"opentelemetry"}


@pytest.mark.parametrize(
    ("command", "modules"),
    [
        ("run --port 0 --data-dir file", EMBEDDED),
        ("export files", set()),
        ("replay", set()),
        ("verify", set()),
        ("load --videos 0", {"livecomments_loadtest"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_without_servers_no_command_imports_their_clients(tmp_path: Path, command: str, modules: set[str]) -> None:
    (tmp_path / "file").touch()
    assert imported(tmp_path, {}, *command.split()) == modules
