"""clients/js by its own tools: built, checked, tested, packed; and what the gateway serves of it is what it makes."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

CLIENT: Final = Path(__file__).parents[2] / "clients" / "js"
_INSTALL_TIMEOUT_S: Final = 240
_STEP_TIMEOUT_S: Final = 480


def npm(*arguments: str, timeout_s: float = _STEP_TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["npm", *arguments], cwd=CLIENT, capture_output=True, text=True, timeout=timeout_s, check=False
    )


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no Node here: apt-get install nodejs npm")
    installed = CLIENT / "node_modules" / ".package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= (CLIENT / "package-lock.json").stat().st_mtime:
        return
    done = npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", timeout_s=_INSTALL_TIMEOUT_S)
    if done.returncode:
        pytest.skip(f"npm ci: {done.stderr.strip()[-300:]}")


@pytest.mark.parametrize(
    "step",
    [("run", "build", "--", "--check"), ("run", "check"), ("test",), ("run", "packed")],
    ids=["what the gateway serves is what is built", "types", "tests", "package"],
)
def test_its_own_tools_are_content(step: tuple[str, ...]) -> None:
    done = npm(*step)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6_000:]


def test_no_download_address_is_recorded() -> None:
    assert '"resolved"' not in (CLIENT / "package-lock.json").read_text()
