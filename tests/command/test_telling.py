"""What a process tells of its life: once for each change, and at debug whatever else, as long as somebody asks."""

import asyncio
import json
import logging
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from livecomments_command.assembly.telling import Life
from tests.live.stream import environment_of

BOUND_S = 60.0


def test_readiness_and_partitions_are_told_when_they_change_and_only_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    checks, followed = {"log": False, "taking": True}, {3, 1}
    life = Life(lambda: checks, lambda: followed)

    def told() -> list[tuple[str, Any, Any]]:
        caplog.clear()
        life.look()
        fields = [(one.getMessage(), vars(one)) for one in caplog.records]
        return [(event, of.get("partitions"), of.get("missing")) for event, of in fields]

    assert told() == [("partitions taken on", [1, 3], None), ("not ready", None, ["log"])]
    assert told() == []
    checks["log"] = True
    assert told() == [("ready", None, None)]
    followed -= {3}
    assert told() == [("partitions let go", [3], None)]
    checks["taking"] = False
    assert told() == [("not ready", None, ["taking"])]


async def test_a_process_tells_its_life_and_switches_to_debug_and_back_while_it_runs(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "livecomments_command", "run", "--port", "0", "--data-dir", str(tmp_path)),
        stdout=PIPE,
        stderr=PIPE,
        env=environment_of({}),
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(BOUND_S):
            lines = Lines(process.stderr)
            assert (await lines.until("starting"))["level"] == "info"
            taken = await lines.until("partitions taken on")
            assert taken["partitions"]
            await lines.until("ready")
            process.send_signal(signal.SIGUSR1)
            assert (await lines.until("log level"))["shown"] == "debug"
            process.send_signal(signal.SIGUSR1)
            assert (await lines.until("log level"))["shown"] == "info"
            process.terminate()
            assert (await lines.until("draining"))["viewers"] == 0
            await lines.until("gone")
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Lines:
    """The log of a process, a line at a time."""

    def __init__(self, stderr: asyncio.StreamReader) -> None:
        self._stderr = stderr

    async def next(self) -> dict[str, Any]:
        said = await self._stderr.readline()
        assert said.startswith(b"{"), f"no line of a log, but: {(said + await self._stderr.read()).decode()!r}"
        line: dict[str, Any] = json.loads(said)
        return line

    async def until(self, event: str) -> dict[str, Any]:
        """The next line of this event."""
        while (line := await self.next())["event"] != event:
            pass
        return line
