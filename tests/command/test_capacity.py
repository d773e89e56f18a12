"""Bounds fit the machine: a process full of viewers still answers whoever asks whether it lives."""

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import aiohttp
import pytest

from livecomments.runtime.machine import OpenFiles
from livecomments_command.capacity import fitted
from livecomments_command.settings import GatewaySettings, RunSettings, StreamSettings

FILES = OpenFiles(1_024)
BOUND_S = 60.0
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
        *(
            "sh",
            "-c",
            'ulimit -Sn 128 && ulimit -Hn 256 && exec "$0" "$@"',
            sys.executable,
            "-m",
            "livecomments_command",
        ),
        *("run", "--port", "0", "--data-dir", str(tmp_path)),
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(BOUND_S):
            url = (await process.stdout.readline()).decode().split("running: ")[1].split()[0]
            async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as client:
                asked = [client.get("/comments/v/stream") for _ in range(files.streams_max + 5)]
                streams = [await one for one in asked]
                assert [stream.status for stream in streams] == [200] * len(streams)
                told = [await stream.read() for stream in streams[-5:]]
                assert all(b"retry:" in text for text in told), told
                idle = [await asyncio.open_connection(*host_and_port(url)) for _ in range(60)]
                statuses = [await status_of(reader, writer) for reader, writer in idle]
                assert set(statuses) <= {b"200", b"503", b""}
                assert b"200" in statuses
                assert b"503" in statuses
                for _, writer in idle:
                    writer.close()
                for stream in streams:
                    stream.close()
            async with aiohttp.ClientSession(url) as client, client.get("/metrics") as answer:
                shown = await answer.text()
            assert f"livecomments_edge_viewers_max {float(files.streams_max)}" in shown
            assert "livecomments_build_info{" in shown
            refused = next(
                line for line in shown.splitlines() if line.startswith("livecomments_http_connections_refused_total ")
            )
            assert float(refused.split()[1]) == len([one for one in statuses if one != b"200"])
    finally:
        process.kill()
        await process.communicate()


def host_and_port(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").rstrip("/").split(":")
    return host, int(port)


async def status_of(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The status of an answer to a probe on a connection that is kept; empty if it was ended without one."""
    writer.write(b"GET /healthz/live HTTP/1.1\r\nHost: x\r\n\r\n")
    try:
        line = await reader.readline()
    except ConnectionError:
        return b""
    return line.split()[1] if line else b""
