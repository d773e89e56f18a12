"""The SQL of docs/DATA.md does what the page says: each statement is read from there and run."""

import asyncio
import re
import sys
from pathlib import Path
from random import Random
from typing import Any, Final

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from livecomments_command.probing.videos import video_ids
from livecomments_command.records.export import ExportPlan, export
from livecomments_command.records.feed import Rhythm
from livecomments_command.records.feed_steps import FeedPlan
from livecomments_command.records.feeding import since
from livecomments_command.records.opened import opened
from livecomments_command.records.places import Directory
from livecomments_schemas.events import (
    COMMENT_CREATED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    NewRecord,
    Record,
    comment_deleted,
    video_event,
)
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.window import Window
from tests.command.installation import CREATED_AT_MS, append, comment, installation, make_file
from tests.command.records.test_feed import feed_on, grow

PAGE: Final = (Path(__file__).parents[3] / "docs/DATA.md").read_text()
MERGED, BY_MINUTE, BUSIEST, RULE = re.findall(r"(?<!-->\n)```sql\n(.*?)```", PAGE, re.DOTALL)
IN_PYTHON: Final = re.findall(r"(?<!-->\n)```python\n(.*?)```", PAGE, re.DOTALL)
WINDOW: Final = 4
HOME: Final = 3
VIDEOS: Final = [video for video in (f"v{number}" for number in range(99)) if partition_of(video, 8) == HOME][:2]


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
async def test_comments_a_minute_and_the_busiest_videos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    made = installation(tmp_path / "data")
    await make_file(made)
    async with opened(made) as found:
        await append(found, [comment("demo", 20_000 * number) for number in range(12)])
        await append(found, [comment("other", number, author=f"a{number % 2}") for number in range(6)])
        await append(found, [comment(video_ids("probe", 1)[0], number) for number in range(20)])
        await export(found, Console(quiet=True), ExportPlan(tmp_path / "comments", form))
    monkeypatch.chdir(tmp_path)
    if form == "parquet":
        (total,) = duckdb.connect().sql("SELECT count(*) FROM 'comments/day=*/*.parquet'").fetchall()
        assert total == (38,)
        return
    minutes = duckdb.connect().sql(BY_MINUTE).fetchall()
    assert sum(count for _, count in minutes) == 12
    assert [count for _, count in minutes[1:-1]] == [3] * (len(minutes) - 2)
    assert minutes[0][0].timestamp() <= CREATED_AT_MS / 1000
    busiest = duckdb.connect().sql(BUSIEST).fetchall()
    assert [row[:3] for row in busiest] == [("demo", 12, 1), ("other", 6, 2)]
    assert [len(row[3].strip()) for row in busiest] == [40, 20]


async def test_an_export_and_its_changes_merged_are_the_comments_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, plan = installation(tmp_path / "data"), FeedPlan("parquet", None, "comments")
    await make_file(made)
    monkeypatch.chdir(tmp_path)
    lake, dice = duckdb.connect(), Random(20)
    async with opened(made) as found:
        await grow(found, dice, 40)
        await export(found, Console(quiet=True), ExportPlan(Path("comments"), "parquet"))
        for _ in range(3):
            await grow(found, dice, 40)
            await feed_on(found, Directory(Path("changes")), plan, Rhythm(bytes_max=9_000), await since(plan))
            lake.execute(MERGED)
        await export(found, Console(quiet=True), ExportPlan(Path("now"), "parquet"))
    compared = "SELECT video_id, comment_id, json FROM {} ORDER BY ALL"
    now = lake.sql(compared.format("'now/day=*/*.parquet'")).fetchall()
    assert lake.sql(compared.format("comments")).fetchall() == now != []


async def test_python_counts_comments_a_minute_as_sql_does(tmp_path: Path) -> None:
    """In a process of their own, as people run them: what libraries warn of there is theirs."""
    made = installation(tmp_path / "data")
    await make_file(made)
    async with opened(made) as found:
        await append(found, [comment("demo", 20_000 * number) for number in range(12)])
        await append(found, [comment("other", number) for number in range(6)])
        await export(found, Console(quiet=True), ExportPlan(tmp_path / "comments", "parquet"))
    assert len(IN_PYTHON) == 2
    for example, wanted in zip(
        IN_PYTHON, ("minutes[minutes > 0].tolist()", "minutes['comments'].to_list()"), strict=True
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"{example}\nprint({wanted})", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
        )
        printed, _ = await process.communicate()
        assert printed.decode().splitlines()[-1] == "[2, 3, 3, 3, 1]", example


@st.composite
def logs(draw: st.DrawFn) -> list[NewRecord]:
    """A partition's records: comments with few keys, deletes of any offset, starts and ends, and nonsense."""
    records = []
    for offset in range(draw(st.integers(1, 25))):
        video = draw(st.sampled_from(VIDEOS))
        kind = draw(st.sampled_from(("comment", "comment", "comment", "delete", "end", "start", "nonsense")))
        if kind == "delete":
            target = comment_id(position_at(1, draw(st.integers(0, offset + 1))), HOME)
            records.append(comment_deleted(video, target, "mod"))
        elif kind in ("end", "start"):
            records.append(video_event(VIDEO_ENDED if kind == "end" else VIDEO_STARTED, video, "owner"))
        else:
            key = draw(st.sampled_from((None, "k", "l")))
            made = comment(video, offset, key=key, author=draw(st.sampled_from(("ana", "bob"))))
            records.append(made._replace(value=b'{"broken') if kind == "nonsense" else made)
    return records


@settings(max_examples=150, deadline=None)
@given(log=logs())
def test_the_rule_over_the_raw_topic_is_what_judge_decides(log: list[NewRecord]) -> None:
    window = Window(1, HOME, 8, since=0, whole=True, size=WINDOW)
    shown: dict[tuple[str, int], bytes] = {}
    invalid = []
    for offset, (key, value, headers) in enumerate(log):
        verdict = judge(Record(HOME, offset, key, value, headers, 0), window)
        if verdict.kind is Kind.INVALID:
            invalid.append((HOME, offset))
        elif verdict.kind is Kind.ACCEPTED and headers["type"] == COMMENT_CREATED:
            shown[verdict.video_id, position_at(1, offset)] = value
        elif verdict.kind is Kind.ACCEPTED and verdict.target:
            shown.pop((verdict.video_id, verdict.target), None)
    found = _run(log, invalid, RULE.replace(f"{DEDUPE_WINDOW_RECORDS}", f"{WINDOW}"))
    assert [row[0] for row in found] == [
        comment_id(position, HOME) for _, position in sorted(shown, key=lambda k: k[1])
    ]


def test_the_rule_names_the_window_of_the_code() -> None:
    assert RULE.count(str(DEDUPE_WINDOW_RECORDS)) == 2


def _run(log: list[NewRecord], invalid: list[tuple[int, int]], rule: str) -> list[Any]:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE records (part INT, off BIGINT, type VARCHAR, video_id VARCHAR, author VARCHAR,"
        " idempotency_key VARCHAR, value VARCHAR); CREATE TABLE dead_letters (part INT, off BIGINT)"
    )
    rows = [
        (
            HOME,
            offset,
            headers["type"].decode(),
            key.decode(),
            headers["author"].decode(),
            headers["key"].decode() if "key" in headers else None,
            value.decode(),
        )
        for offset, (key, value, headers) in enumerate(log)
    ]
    connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    if invalid:
        connection.executemany("INSERT INTO dead_letters VALUES (?, ?)", invalid)
    connection.execute(rule)
    return connection.sql("SELECT * FROM comments ORDER BY off").fetchall()
