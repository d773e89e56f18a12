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


def need_packages() -> None:
    """Bring what the lock file names; skip the test where that cannot be."""
    if reason := bring_packages(CLIENT):
        pytest.skip(reason)
