"""The programs of C that load a server: compiled at their first use, into `.run/bench`."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

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
