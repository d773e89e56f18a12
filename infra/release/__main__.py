"""`python -m infra.release`: see the room. `--draft` makes it though a version or the changelog is not ready."""

import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from infra.release.archives import chart_files, context_files, packed
from infra.release.sbom import bill_of_materials
from infra.release.versions import problems, told_versions, version_of

ROOT: Final = Path(__file__).parents[2]
DIST: Final = ROOT / "dist"


def main() -> int:
    """Run it; 1 when there is no release to make, with why."""
    parser = ArgumentParser(prog="make release")
    parser.add_argument("--draft", action="store_true", help="whatever versions and changelog say")
    draft = parser.parse_args().draft
    released = [path.stem for path in (ROOT / "schemas/released").glob("*.json")]
    found = problems(told_versions(ROOT), (ROOT / "CHANGELOG.md").read_text(), released)
    if _git("status", "--porcelain"):
        found.append("The checkout has changes that are not committed.")
    for problem in found:
        print(problem, file=sys.stderr)
    if found and not draft:
        return 1
    make(version_of(ROOT))
    return 0


def make(version: str) -> None:
    """Make everything of this commit into an empty `dist/`."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    at_s = int(_git("log", "-1", "--format=%ct"))
    tracked = [ROOT / name for name in _git("ls-files", "-z").split("\0") if name and (ROOT / name).is_file()]
    wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(DIST), str(ROOT)]
    _run([sys.executable, *wheel], {"SOURCE_DATE_EPOCH": str(at_s)})
    client = ROOT / "clients/js"
    _run(["node", "build.mjs"], {}, client)
    _run(["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(DIST)], {}, client)
    (DIST / f"livecomments-{version}.tgz").write_bytes(packed(chart_files(tracked, ROOT), at_s))
    (DIST / f"livecomments-image-{version}.tar.gz").write_bytes(packed(context_files(tracked, ROOT), at_s))
    lock = (ROOT / "requirements/distributed.lock").read_text()
    at = datetime.datetime.fromtimestamp(at_s, datetime.UTC).isoformat()
    bill = bill_of_materials(version, lock, at)
    (DIST / f"livecomments-{version}.cdx.json").write_text(json.dumps(bill, indent=1) + "\n")
    made = sorted(DIST.iterdir())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in made]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603, S607 - our own arguments
    return done.stdout.strip()


def _run(command: list[str], environment: Mapping[str, str], directory: Path = ROOT) -> None:
    subprocess.run(command, cwd=directory, env={**os.environ, **environment}, stdout=sys.stderr, check=True)  # noqa: S603 - our own arguments


if __name__ == "__main__":
    sys.exit(main())
