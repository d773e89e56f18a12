"""The client behind a real proxy that hands answers on only when whole: by `auto` comments come all the same."""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from infra.local.ports import HOST, answers, free_port
from tests.clients.npm import esbuild, need_packages
from tests.conformance.programs import running
from tests.consumers.streams import counted
from tests.infra.waiting import wait_until
from tests.served import served

pytestmark = [pytest.mark.node, pytest.mark.timeout(400)]

PROGRAM: Final = Path(__file__).with_name("follow_auto.mjs")
COMMENTS: Final = 5
WITHIN_S: Final = 120.0
PROXY: Final = """
daemon off; user root; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 256; }}
http {{
    access_log off;
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://{host}:{service};
            proxy_buffering on;
            proxy_buffer_size 64k;
            proxy_buffers 8 64k;
            proxy_ignore_headers X-Accel-Buffering;
        }}
    }}
}}
"""


@contextmanager
def withholding(folder: Path, service: int) -> Iterator[str]:
    """Run a proxy that keeps what comes in until it is whole, or 64 KiB; gives its address.

    Of what comes in chunks, by HTTP/1.1, it would hand on each: it asks by 1.0, as nginx does by default.
    """
    if shutil.which("nginx") is None:
        pytest.skip("No nginx found: apt-get install nginx-light.")
    port = free_port()
    file = folder / "proxy.conf"
    file.write_text(PROXY.format(folder=folder, host=HOST, port=port, service=service))
    with (folder / "proxy.log").open("ab") as log:
        process = subprocess.Popen(["nginx", "-e", "stderr", "-c", str(file)], stdout=log, stderr=log)
    try:
        wait_until(lambda: answers(port))
        yield f"http://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


async def test_a_person_behind_a_proxy_that_withholds_streams_sees_comments_as_they_come(tmp_path: Path) -> None:
    """How soon is told by the model's clock (`clients/js/test/poll.test.ts`); on a quiet machine it is 1.2 s here."""
    need_packages()
    module = tmp_path / "sdk.mjs"
    entries = "".join(f'export * from "./src/{entry}.ts";' for entry in ("index", "poll"))
    module.write_text(await asyncio.to_thread(esbuild, text=entries))
    async with served(tmp_path / "data") as service:
        with withholding(tmp_path, int(service.url.rpartition(":")[2])) as url:
            async with asyncio.timeout(WITHIN_S), aiohttp.ClientSession(url) as client:
                token = await service.token()
                command = ("node", str(PROGRAM), str(module), url)
                async with running(tmp_path / "node.log", *command, stdout=subprocess.PIPE) as follower:
                    assert (await told(follower))["is"] == "live"
                    for n in range(COMMENTS):
                        await service.post("v", str(n), token)
                        said = await told(follower)
                        print(said)
                        assert said["is"] == str(n)
                    stream = asyncio.create_task(piece(client))
                    await service.post("v", "last", token)
                    assert (await told(follower))["is"] == "last"
                    assert not stream.done(), "the proxy hands streams on: this test says nothing"
                    stream.cancel()
    assert counted("polls_total", live="no", result="data") > 0


async def told(follower: asyncio.subprocess.Process) -> dict[str, Any]:
    """Return its next line."""
    assert follower.stdout is not None
    line = await follower.stdout.readline()
    assert line, "it has ended"
    said: dict[str, Any] = json.loads(line)
    return said


async def piece(client: aiohttp.ClientSession) -> bytes:
    """Return the first bytes of a stream."""
    async with client.get("/comments/v/stream", timeout=aiohttp.ClientTimeout()) as answer:
        return await answer.content.readany()
