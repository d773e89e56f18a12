"""infra/router/partition.lua, in both kinds of Lua that routers have: Kafka's partitions, and homes that stay."""

import random
import subprocess
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from shutil import which
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.local.jars import LIB_DIR, ROOM, class_path, why_unavailable
from livecomments.log.topics import load_topics
from livecomments.web.routed import ROUTE_HEADER
from livecomments_schemas.partitions import partition_of

LUA: Final = ROOM.parent / "router" / "partition.lua"
VECTORS: Final = orjson.loads((ROOM.parents[1] / "schemas/examples/partitions/by-video.json").read_bytes())
KINDS: Final = ("lua53", "lua54", "luajit21")
VIDEO_IDS: Final = st.from_regex(r"[A-Za-z0-9._~-]{1,64}", fullmatch=True)
LOADED: Final[dict[str, Any]] = {}


def load(kind: str) -> tuple[Any, Any]:
    """The module in a Lua of this kind, and that Lua."""
    if kind not in LOADED:
        lua = import_module(f"lupa.{kind}").LuaRuntime(unpack_returned_tuples=True)
        LOADED[kind] = lua.execute(LUA.read_text()), lua
    loaded: tuple[Any, Any] = LOADED[kind]
    return loaded


def ranked(partition: int, ids: list[str], kind: str = "lua53") -> list[str]:
    module, lua = load(kind)
    return [str(one) for one in module.ranked(partition, lua.table_from(ids)).values()]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_its_partitions_are_the_golden_ones(kind: str) -> None:
    module, _ = load(kind)
    for video_id, by_count in VECTORS.items():
        for count, partition in by_count.items():
            assert module.of(video_id, int(count)) == partition == partition_of(video_id, int(count)), video_id


@settings(max_examples=400)
@given(VIDEO_IDS, st.integers(1, 4_096))
def test_its_partitions_are_ours(video_id: str, count: int) -> None:
    for kind in KINDS:
        assert load(kind)[0].of(video_id, count) == partition_of(video_id, count)


@pytest.mark.timeout(900)  # the jars are gathered once
def test_the_golden_partitions_are_those_of_kafkas_own_partitioner(tmp_path: Path) -> None:
    if (why := why_unavailable()) or which("javac") is None:
        pytest.skip(why or "No javac found: apt-get install openjdk-17-jdk-headless.")
    jars = class_path("kafka", LIB_DIR, lambda _: None)
    source = tmp_path / "Partitions.java"
    source.write_text(
        "import java.util.Scanner;\n"
        "import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;\n"
        "public class Partitions { public static void main(String[] none) {\n"
        "  for (Scanner in = new Scanner(System.in); in.hasNext();)\n"
        "    System.out.println(BuiltInPartitioner.partitionForKey(in.next().getBytes(), in.nextInt())); } }\n"
    )
    asked = [(video_id, count, by[count]) for video_id, by in VECTORS.items() for count in by]
    done = subprocess.run(
        ["java", "-cp", jars, str(source)],
        input="\n".join(f"{video_id} {count}" for video_id, count, _ in asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert list(map(int, done.stdout.split())) == [partition for _, _, partition in asked]


def test_both_kinds_of_lua_rank_alike(kind: str) -> None:
    for partition in range(64):
        ids = [str(n) for n in range(1, 9)]
        assert ranked(partition, ids, kind) == ranked(partition, ids[::-1])


@settings(max_examples=60)
@given(st.sets(st.integers(1, 2_000), min_size=2, max_size=24).map(sorted), st.randoms(use_true_random=False))
def test_who_leaves_moves_only_its_own_and_who_comes_takes_only_its_share(
    servers: list[int], rng: random.Random
) -> None:
    ids = [str(one) for one in servers]
    gone = rng.choice(ids)
    for partition in range(64):
        before, after = ranked(partition, ids), ranked(partition, [one for one in ids if one != gone])
        assert [one for one in before if one != gone] == after, "all keep their order, further homes too"


def test_homes_are_even() -> None:
    for servers in (2, 4, 8, 16):
        ids = [str(n) for n in range(1, servers + 1)]
        shares = Counter(ranked(partition, ids)[0] for partition in range(256 * servers))
        assert set(shares) == set(ids)
        assert max(shares.values()) <= 256 * 1.25, shares  # four times what chance spreads


def test_further_homes_come_above_the_bound_of_the_partition_alone() -> None:
    rank: Callable[[int, int, int], int] = load("luajit21")[0].rank
    assert [rank(n, 3, 4) for n in range(3)] == [1, 1, 1]
    assert {rank(n, 3, 4) for n in range(3, 6)} == {1, 2}
    assert {rank(n, 3, 4) for n in range(6, 9)} == {1, 2, 3}
    assert {rank(n, 3, 2) for n in range(300)} == {1, 2}, "no more homes than servers"
    assert {rank(n, 3, 1) for n in range(300)} == {1}


def test_it_reads_paths_and_answers_and_says_where_a_request_goes(kind: str) -> None:
    module, _ = load(kind)
    paths = (
        "/comments/a%41/stream",
        "/comments/v/0123456789abcdef",
        "/videos/v/bans/u",
        "/sessions",
        "/",
        "/comments/",
    )
    assert [module.video(path) for path in paths] == ["a%41", "v", "v", None, None, None]
    assert module.told('{"epoch":3,"partitions":256}') == 256
    for wrong in ("", "{}", '{"partitions":0}', '{"partitions":99999999}', '{"partitions":"64"}', None):
        assert module.told(wrong) is None, wrong
    assert module.said(17, 64, 1) == "17/64/1"


def test_what_a_router_takes_for_true_before_it_asked_is_a_new_topics_count() -> None:
    assert load_topics(1)[0].partitions == load("lua53")[0].COUNT
    for file in ("haproxy/haproxy.cfg", "nginx/nginx.conf"):
        assert ROUTE_HEADER in (ROOM.parent / file).read_text().lower()
