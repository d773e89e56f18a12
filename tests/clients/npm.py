"""npm in `clients/js`, its packages installed once for all tests that need them, in whichever process they run."""

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

CLIENT: Final = Path(__file__).parents[2] / "clients" / "js"
_INSTALL_TIMEOUT_S: Final = 300.0
STEP_TIMEOUT_S: Final = 480.0


def npm(*arguments: str, timeout_s: float = STEP_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run npm there."""
    return subprocess.run(
        ["npm", *arguments], cwd=CLIENT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def need_packages() -> None:
    """Install what the lock file names, unless it is there; skip the test where that cannot be."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no Node here: apt-get install nodejs npm")
    lock_file = CLIENT / "package-lock.json"
    with lock_file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another process of this run may install at this moment
        installed = CLIENT / "node_modules" / ".package-lock.json"
        if installed.exists() and installed.stat().st_mtime >= lock_file.stat().st_mtime:
            return
        done = npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout_s=_INSTALL_TIMEOUT_S)
        if done.returncode:
            pytest.skip(f"npm ci: {done.stderr.strip()[-300:]}")
