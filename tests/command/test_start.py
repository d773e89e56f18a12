"""What a process does before anything else, in a fresh interpreter, up to its refusal: its values, its collector."""

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tests.command.test_imports import BOUND_S, ON_SERVERS

TELL: Final = """
import gc, json, sys
from livecomments_command.__main__ import main
try:
    main()
finally:
    print(json.dumps({"event": "collects", "threshold": gc.get_threshold()}), file=sys.stderr)
"""
YOUNG_MIN: Final = 10_000
"""New objects before the youngest are looked through: Python's own 700 cost a tenth of a POST's CPU."""


def started(directory: Path, *arguments: str) -> dict[str, dict[str, Any]]:
    """What the process logged until it was refused, by event."""
    (directory / "file").touch()
    done = subprocess.run(
        [sys.executable, "-c", TELL, *arguments],
        cwd=directory,
        env={"PATH": "", **({} if arguments[0] == "run" else ON_SERVERS)},
        capture_output=True,
        text=True,
        timeout=BOUND_S,
    )
    assert done.returncode == 2, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return {line["event"]: line for line in lines}


@pytest.mark.parametrize("command", ["run --port 0 --data-dir file", "gateway --port 0", "edge --port 0", "stream"])
def test_a_process_logs_its_values_and_one_that_serves_looks_for_garbage_seldom(tmp_path: Path, command: str) -> None:
    logged = started(tmp_path, *command.split())
    assert logged["starting"]["command"] == command.split()[0]
    assert logged["starting"]["settings"]["append_timeout_s"] == 5.0
    looks_seldom = logged["collects"]["threshold"][0] >= YOUNG_MIN > gc.get_threshold()[0]
    assert looks_seldom == (command != "stream")
