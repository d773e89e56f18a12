"""The benchmark of exports goes all its ways, for a few rows, and compares each with a loop that did something."""

from pathlib import Path

from bench.exports import Plan, measured


async def test_each_way_writes_the_rows_and_stands_beside_a_bare_loop(tmp_path: Path) -> None:
    results = await measured(Plan(rows=600, videos=5, steps=4), tmp_path)
    assert [one.way for one in results] == [
        "export, jsonl",
        "export, csv",
        "export, parquet",
        "changes, jsonl",
        "compact, jsonl",
        "erase, jsonl",
        "changes, parquet",
        "compact, parquet",
        "erase, parquet",
    ]
    assert all(one.per_s > 0 and one.ratio > 0 for one in results)
    assert len((tmp_path / "bare").read_bytes().splitlines()) == 600
    assert len(list((tmp_path / "feed-jsonl").glob("day=*/*"))) == 1
