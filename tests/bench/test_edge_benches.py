"""Each benchmark of the edge, once and tiny, on a real Kafka and a real edge: what it counts comes out even."""

from collections import Counter
from pathlib import Path
from shutil import which
from xml.etree import ElementTree

import pytest

from bench import fanout, latency, resume, scale, slow, videos
from bench.command import Outcome


def table_of(outcome: Outcome) -> str:
    """The heads of its tables; the chart is well-formed."""
    assert ElementTree.fromstring(outcome.svg).tag.endswith("svg")
    return " ".join(str(column.header) for one in outcome.tables for column in one.columns)


async def test_fanout_delivers_every_comment_and_every_byte(kafka_address: str, tmp_path: Path) -> None:
    plan = fanout.Plan(viewers=40, rates="60", peers_viewers=20, warm_up_s=0.3, seconds=1.0)
    outcome = await fanout.measure(plan, kafka_address, tmp_path, False)
    rows = outcome.numbers["rows"]
    assert [row["what"] for row in rows] == ["plain", "gzip", "peers' load, 20"]
    assert [(row["undelivered"], row["unread_bytes"], row["faults"]) for row in rows] == [(0, 0, 0)] * 3
    assert all(row["deliveries_per_s"] > 0 and row["floor_ns"] > 0 for row in rows)
    assert "ratio" in table_of(outcome)


async def test_latency_sees_every_post_at_every_socket(kafka_address: str, tmp_path: Path) -> None:
    plan = latency.Plan(viewers=10, rates="40", warm_up_s=0.5, seconds=1.0)
    outcome = await latency.measure(plan, kafka_address, tmp_path, False)
    (row,) = outcome.numbers["rows"]
    assert row["comments"] > 0
    assert (row["refused"], row["faults"]) == (0, 0)
    assert "broker's ack" in table_of(outcome)


async def test_resume_leaves_nothing_out(kafka_address: str, tmp_path: Path) -> None:
    plan = resume.Plan(
        stay=10, rate=200, crowd=10, away_s=1.0, later_crowd=20, later_away_s=0.5, warm_up_s=0.5, seconds=1.0
    )
    outcome = await resume.measure(plan, kafka_address, tmp_path, False)
    before, *returns = outcome.numbers["rows"]
    assert before["comments"] == 0
    assert [(row["store_reads"], row["faults"]) for row in (before, *returns)] == [(0, 0)] * 3
    assert all(row["comments"] > 0 for row in returns)
    assert "× before" in table_of(outcome)


async def test_slow_viewers_are_beside_others_that_miss_nothing(kafka_address: str, tmp_path: Path) -> None:
    plan = slow.Plan(viewers=10, rate=200, pairs=2, warm_up_s=0.3, seconds=0.5)
    outcome = await slow.measure(plan, kafka_address, tmp_path, False)
    assert [(pair["cut_off"], pair["faults"]) for pair in outcome.numbers["pairs"]] == [(0, 0)] * 2
    assert "ratio of p99" in table_of(outcome)


async def test_videos_gives_each_viewer_the_comments_of_its_video(kafka_address: str, tmp_path: Path) -> None:
    plan = videos.Plan(viewers=40, videos=20, rate=100, warm_up_s=0.3, seconds=1.0)
    outcome = await videos.measure(plan, kafka_address, tmp_path, False)
    assert [(row["viewers"], row["undelivered"], row["faults"]) for row in outcome.numbers["rows"]] == [
        (40, 0, 0),
        (2, 0, 0),
    ]
    assert "undelivered" in table_of(outcome)


def test_videos_are_drawn_by_zipf_and_one_is_hot() -> None:
    drawn = Counter(scale.popular([f"v-{n}" for n in range(100)], 0.1))
    assert drawn["v-1"] == pytest.approx(2 * drawn["v-3"], rel=0.01)
    assert drawn["v-0"] == pytest.approx(2 * drawn["v-1"] + sum(drawn.values()) * 0.1, rel=0.01)


@pytest.mark.skipif(which("haproxy") is None, reason="No haproxy found.")
async def test_scale_has_each_edge_follow_its_share_and_deliver_everything(kafka_address: str, tmp_path: Path) -> None:
    plan = scale.Plan(tiers="edge", nodes="1,2", videos=60, rate=100, warm_up_s=6.0, seconds=2.0)
    outcome = await scale.measure(plan, kafka_address, tmp_path, False)
    rows = {(row["what"], row["nodes"]): row for row in outcome.numbers["rows"]}
    assert all((row["failed"], row["elsewhere"]) == (0, 0) for row in rows.values())
    assert rows["all", 2]["partitions"] == 64
    assert rows["auto", 2]["partitions"] < 40, "what its viewers watch of its half, and no more"
    assert 0 < rows["auto", 2]["records_per_s"] < rows["all", 2]["records_per_s"]
    assert "takes/min" in table_of(outcome)


@pytest.mark.skipif(which("haproxy") is None, reason="No haproxy found.")
async def test_scale_has_each_gateway_follow_its_share_and_answer_everything(
    kafka_address: str, cql_address: str, tmp_path: Path
) -> None:
    plan = scale.Plan("gateway", "2", cql_address, videos=60, rate=100, warm_up_s=6.0, seconds=2.0)
    outcome = await scale.measure(plan, kafka_address, tmp_path, False)
    rows = {row["what"]: row for row in outcome.numbers["rows"]}
    assert all((row["failed"], row["elsewhere"]) == (0, 0) for row in rows.values())
    assert rows["all"]["partitions"] == 64
    assert rows["auto"]["partitions"] < 40, "what its videos are in of its half, and no more"
    assert 0 < rows["auto"]["records_per_s"] < rows["all"]["records_per_s"]
    assert "takes/min" in table_of(outcome)
