"""The chart and the image's context, as archives that are the same each time."""

import gzip
import io
import re
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

_MODE: Final = 0o644
_EXECUTABLE: Final = 0o755
_OWNER_MAY_RUN: Final = 0o100


def packed(files: Mapping[str, Path], at_s: int) -> bytes:
    """Return a .tar.gz of files by the names that they get in it; all of the time `at_s`, of nobody in particular."""
    unpacked = io.BytesIO()
    with tarfile.open(fileobj=unpacked, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in sorted(files):
            content = files[name].read_bytes()
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), at_s
            member.mode = _EXECUTABLE if files[name].stat().st_mode & _OWNER_MAY_RUN else _MODE
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(unpacked.getvalue(), mtime=at_s)


def chart_files(tracked: Iterable[Path], root: Path) -> dict[str, Path]:
    """Return what `helm package` would pack: all of the chart but what its .helmignore names."""
    chart = root / "helm/livecomments"
    ignored = [line for line in (chart / ".helmignore").read_text().splitlines() if line and not line.startswith("#")]
    files = {}
    for path in tracked:
        if chart in path.parents:
            name = path.relative_to(chart).as_posix()
            if not any(name.startswith(each) if each.endswith("/") else path.match(each) for each in ignored):
                files[f"livecomments/{name}"] = path
    return files


def context_files(tracked: Iterable[Path], root: Path) -> dict[str, Path]:
    """Return what `docker build` needs: the Dockerfile, and all that .dockerignore lets through."""
    allowed = re.findall(r"^!(\S+)$", (root / ".dockerignore").read_text(), re.MULTILINE)
    names = {path.relative_to(root).as_posix(): path for path in tracked}
    wanted = ("Dockerfile", ".dockerignore", *allowed)
    return {
        name: path
        for name, path in names.items()
        if any(name == each or name.startswith(f"{each}/") for each in wanted)
    }
