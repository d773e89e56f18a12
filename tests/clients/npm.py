"""npm in `clients/js`."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.npm import bring_packages

CLIENT: Final = Path(__file__).parents[2] / "clients" / "js"
STEP_TIMEOUT_S: Final = 480.0


def npm(*arguments: str, timeout_s: float = STEP_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    """Run npm there."""
    return subprocess.run(
        ["npm", *arguments], cwd=CLIENT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


def esbuild(*arguments: str, text: str = "") -> str:
    """Bundle what `text`, or a file among the arguments, imports into one module, with the client's own esbuild."""
    done = subprocess.run(
        ["node_modules/.bin/esbuild", "--bundle", "--format=esm", *arguments],
        input=text,
        cwd=CLIENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def need_packages() -> None:
    """Bring what the lock file names; skip the test where that cannot be."""
    if reason := bring_packages(CLIENT):
        pytest.skip(reason)
