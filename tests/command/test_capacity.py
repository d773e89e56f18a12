"""Bounds fit the machine: a process full of viewers still answers whoever asks whether it lives."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import NamedTuple

import pytest

from livecomments.runtime.machine import OpenFiles
from livecomments.web.health import HEALTH_PATHS
from livecomments_command.capacity import fitted
from livecomments_command.settings import GatewaySettings, RunSettings, StreamSettings

FILES = OpenFiles(1_024)
BOUND_S = 60.0
ASKED = sorted(HEALTH_PATHS - {"/healthz/ready"})
"""What is 200 whenever it is answered."""
GIB = 2**30


def test_streams_are_bounded_by_what_may_be_open_and_who_set_more_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert fitted(RunSettings(), FILES, 64 * GIB, {}).viewers_max == FILES.streams_max
    assert not caplog.records
    assert fitted(RunSettings(viewers_max=5), FILES, 64 * GIB, {}).viewers_max == 5
    asked = {"LIVECOMMENTS_VIEWERS_MAX": "30000"}
    assert fitted(RunSettings(viewers_max=30_000), FILES, 64 * GIB, asked).viewers_max == FILES.streams_max
    [line] = caplog.records
    assert vars(line)["set"] == 30_000
    assert vars(line)["viewers_max"] == FILES.streams_max


def test_tails_take_a_part_of_the_memory_there_is_unless_somebody_set_how_much() -> None:
    kept = RunSettings().tails_bytes_max
    assert fitted(GatewaySettings(), FILES, 64 * GIB, {}).tails_bytes_max == kept
    assert fitted(GatewaySettings(), FILES, GIB, {}).tails_bytes_max == GIB // 4
    asked = {"LIVECOMMENTS_TAILS_BYTES_MAX": str(kept)}
    assert fitted(GatewaySettings(tails_bytes_max=kept), FILES, GIB, asked).tails_bytes_max == kept
    assert fitted(StreamSettings(), FILES, GIB, {}) == StreamSettings()


async def test_a_process_without_a_file_to_spare_tells_viewers_to_come_back_and_answers_probes(tmp_path: Path) -> None:
    """Its hard limit is 256: 128 streams at most, open files up to 192 for connections, and the rest is its own."""
    files = OpenFiles(256)
    process = await asyncio.create_subprocess_exec(
        *("sh", "-c", 'ulimit -Sn 128 && ulimit -Hn 256 && exec "$0" "$@"', sys.executable, "-m"),
        *("livecomments_command", "run", "--port", "0", "--data-dir", str(tmp_path)),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    kept: list[Asked] = []
    try:
        async with asyncio.timeout(BOUND_S):
            url = (await process.stdout.readline()).decode().split("running: ")[1].split()[0]
            for _ in range(300 // 20):
                kept += await asyncio.gather(*(ask(url, "/comments/v/stream") for _ in range(20)))
                probes = [await ask(url, path) for path in ASKED]
                assert {one.status for one in probes} == {b"200"}
                for one in probes:
                    one.writer.close()
            assert {one.status for one in kept} == {b"200"}
            told = kept[files.streams_max :]
            assert [b"retry:" in await one.reader.read() for one in told] == [True] * len(told)  # and is ended
            idle = [await ask(url, "/client.js") for _ in range(60)]
            kept += idle
            assert {one.status for one in idle} == {b"200", b"503"}
            probes = [await ask(url, path) for path in ASKED * 3]
            kept += probes
            assert {one.status for one in probes} == {b"200"}
            shown = (await next(one for one in reversed(probes) if one.path == "/metrics").reader.read()).decode()
            assert f"livecomments_edge_viewers_max {float(files.streams_max)}" in shown
            assert "livecomments_build_info{" in shown
            refused = [one for one in idle if one.status == b"503"]
            assert f"livecomments_http_connections_refused_total {float(len(refused))}" in shown
    finally:
        for one in kept:
            one.writer.close()
        process.kill()
        await process.communicate()


class Asked(NamedTuple):
    """What was answered on a connection that is kept."""

    path: str
    status: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


async def ask(url: str, path: str) -> Asked:
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
    return Asked(path, (await reader.readline()).split()[1], reader, writer)
