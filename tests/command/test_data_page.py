"""docs/DATA.md, "ten minutes from nothing to a query": every command of it, as it stands there, from nothing."""

import json
import os
import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Final

import duckdb
import pytest

from infra.local.ports import free_port
from livecomments_command.records.export import Manifest
from livecomments_schemas.counts import Count, counted
from tests.conformance.programs import running

DOCS: Final = Path(__file__).parents[2] / "docs"
SNIPPETS: Final = dict(re.findall(r"<!-- runs: (\S+) -->\n```\w+\n(.*?)```", (DOCS / "DATA.md").read_text(), re.DOTALL))
VIDEOS: Final = 9
"""Eight, and the demo."""

pytestmark = pytest.mark.timeout(400)


@pytest.mark.live
async def test_from_nothing_to_a_query_and_a_picture(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here: apt-get install curl")
    port = free_port()
    script = SNIPPETS["ten-minutes.sh"].replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    assert "livecomments load " in script
    script = script.replace("livecomments load ", f"livecomments load --url http://127.0.0.1:{port} ")
    said = await ran(tmp_path, "sh", "-e", "-c", script, LIVECOMMENTS_PORT=str(port))
    (counts,) = (json.loads(line) for line in re.findall(r'\{"videoId".*?\]\}', said))
    assert counts["videoId"] == "demo"
    assert "nothing missing" in said
    shutil.copy(DOCS / "busiest.sql", tmp_path)
    shown = await ran(tmp_path, sys.executable, "-c", SNIPPETS["query.py"])
    assert [row.split("│")[1].strip() for row in shown.splitlines()[1:2]] == ["video_id"]
    assert len(re.findall(r"│ (?:load-\w+-\d|demo) ", shown)) == 3
    exported = Manifest.load(tmp_path / "comments")
    assert exported is not None
    assert drawn(tmp_path / "busiest.svg") == (VIDEOS, exported.comments)


@pytest.mark.parametrize("again", [False, True], ids=["once", "told again"])
def test_the_topic_of_counts_says_which_videos_are_busiest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    minutes = [("a", 0, 1, 1), ("a", 0, 5, 2), ("b", 0, 9, 3), ("a", 1, 6, 6), ("b", 3, 1, 1)]
    told = [counted(Count(video, 29_000_000 + at, many, by, "0" * 16)).value for video, at, many, by in minutes]
    progress = b'{"epochs": []}'
    (tmp_path / "counts.jsonl").write_bytes(b"\n".join([*told, progress, *told[: 3 * again], b""]))
    monkeypatch.chdir(tmp_path)
    lake = duckdb.connect()
    assert lake.execute(SNIPPETS["counts.sql"]).fetchall() == [("a", 11, 6), ("b", 10, 3)]
    lake.execute((DOCS / "busiest.sql").read_text())
    assert drawn(tmp_path / "busiest.svg") == (2, 21)


def drawn(picture: Path) -> tuple[int, int]:
    """How many videos a picture shows, and their comments."""
    texts = [text.text or "" for text in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")]
    return len(texts[2::2]), sum(map(int, texts[2::2]))


async def ran(folder: Path, *command: str, **settings: str) -> str:
    """What a command prints that ends well; it finds `livecomments` as who has installed it."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    printed = folder / "printed"
    async with running(printed, *command, environment=settings | {"PATH": path}, cwd=folder) as process:
        code = await process.wait()
    said = printed.read_text()
    assert code == 0, said
    printed.unlink()
    return said
