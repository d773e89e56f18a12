"""npm's packages for tests, brought once into each folder that names some, whichever process needs them first."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from infra.local.jars import locked

_ROOT: Final = Path(__file__).parents[1]
_BRING_TIMEOUT_S: Final = 300
"""A hundred packages by a slow network, once."""


def bring_packages(folder: Path) -> str | None:
    """Install what a folder's lock file names, unless it is there; returns why that cannot be.

    One process at a time: `npm ci` begins by taking away what is there, also from under those who use it.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return "No node or npm here: apt-get install nodejs npm"
    wanted, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    with locked(_ROOT / ".run" / "npm" / f"{'-'.join(folder.relative_to(_ROOT).parts)}.lock"):
        if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime:
            return None
        try:
            done = subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=_BRING_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            return f"npm ci: {error}"
    return f"npm ci: {done.stderr.strip()[-300:]}" if done.returncode else None
