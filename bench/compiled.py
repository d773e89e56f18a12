"""The programs of C that load a server: compiled at their first use, into `.run/bench`, and conversed with.

Those that converse take a command a line, and answer each with a line of JSON.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from infra.local.servers import RUN_DIR


def compiled(source: Path) -> Path:
    """Return the program made of this file. Raises SystemExit: there is no compiler, or no zlib."""
    program = RUN_DIR / "bench" / f"{source.stem}-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if program.exists():
        return program
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("What loads is a C program: install a compiler and zlib (apt-get install gcc zlib1g-dev).")
    program.parent.mkdir(parents=True, exist_ok=True)
    new = program.with_suffix(f".{os.getpid()}")
    done = subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", "-o", new, source, "-lz"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{source.name} does not compile (apt-get install gcc libc6-dev zlib1g-dev):\n{done.stderr}")
    new.rename(program)
    return program


@asynccontextmanager
async def conversing(source: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the program made of this file until left. Raises as `compiled` does."""
    pipe = asyncio.subprocess.PIPE
    program = await asyncio.to_thread(compiled, source)
    process = await asyncio.create_subprocess_exec(program, *arguments, stdin=pipe, stdout=pipe)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ask(process: asyncio.subprocess.Process, command: str, within_s: float) -> dict[str, Any]:
    """Return what it answers. Raises as `answer_of` does."""
    assert process.stdin is not None
    process.stdin.write(command.encode() + b"\n")
    return await answer_of(process, within_s)


async def answer_of(process: asyncio.subprocess.Process, within_s: float) -> dict[str, Any]:
    """Return the next line that it says. Raises TimeoutError; RuntimeError: it has ended."""
    assert process.stdout is not None
    async with asyncio.timeout(within_s):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError("The program that loads has ended; what it said of that is above.")
    answer: dict[str, Any] = json.loads(line)
    return answer
