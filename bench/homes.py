"""`python -m bench.homes`: whose home is what, by the router's own Lua, for 10 to 1,000 nodes of a tier.

Nothing runs but `infra/router/partition.lua`: it chooses the partition of each video, ranks the servers, and gives a
hot partition further homes. So this is what a load balancer does with that many servers, but for the load balancer.
"""

from collections import Counter
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import mean
from typing import Any, Final, NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, command, over, table

_LUA: Final = Path(__file__).parents[1] / "infra" / "router" / "partition.lua"
_PARTITIONS_A_NODE: Final = 32
_HOMES_KEPT: Final = 200
"""More than any partition gets here."""
_PLACES: Final = """
return function(router, viewers, bound, up)
    local places = {}
    for under_way = 0, viewers - 1 do
        local rank = router.rank(under_way, bound, up)
        places[rank] = (places[rank] or 0) + 1
    end
    return places
end
"""
"""How many of a partition's viewers, one coming after the other, each of its homes is given."""
_RANKED: Final = """
return function(router, partition, ids, most)
    local ranked = router.ranked(partition, ids)
    return table.concat(ranked, " ", 1, math.min(most, #ranked))
end
"""


class Plan(NamedTuple):
    """What is laid out."""

    nodes: str = "10,30,100,300,1000"
    videos_a_node: int = 100
    viewers_a_node: int = 2_000
    hot: float = 0.1
    """The share that the hottest video has of all viewers and comments; the others follow Zipf's law."""
    bound: int = 5_000
    """Viewers of a partition for each home, as in infra/haproxy."""
    moves: int = 400
    """Partitions that are ranked again without one server, and with one more."""


class Row(NamedTuple):
    """One number of nodes."""

    nodes: int
    partitions: int
    partitions_busiest: float
    """What the busiest node has, over the mean of all nodes; likewise below."""
    records_busiest: float
    records_but_hot: float
    """Of all but the hot partition, which cannot be divided: each of its homes reads all of it."""
    viewers_busiest: float
    homes_of_hot: int
    moved_by_leaving: float
    """The share of partitions whose first home changes; 1/n is what the node had."""
    moved_by_coming: float
    moved_for_nothing: int
    """Moved from a node that stayed to another one that was there before. None may."""


class Router:
    """The Lua file, loaded."""

    def __init__(self) -> None:
        self._lua = import_module("lupa.luajit21").LuaRuntime(unpack_returned_tuples=True)
        self.module: Any = self._lua.execute(_LUA.read_text())
        self._places, self._ranked = self._lua.execute(_PLACES), self._lua.execute(_RANKED)

    def ranked(self, partitions: Sequence[int], ids: Sequence[str]) -> dict[int, list[str]]:
        """Rank the servers that are up for each of these partitions, best home first."""
        up = self._lua.table_from(ids)
        return {number: self._ranked(self.module, number, up, _HOMES_KEPT).split() for number in partitions}

    def places(self, viewers: int, bound: int, up: int) -> dict[int, int]:
        """Return how many viewers of one partition go to the home of each rank, from 1."""
        return {int(rank): int(count) for rank, count in self._places(self.module, viewers, bound, up).items()}


def shares(videos: int, hot: float) -> list[float]:
    """Return each video's share of viewers and comments, by Zipf's law; the first has `hot` beside its own."""
    harmonic = sum(1 / rank for rank in range(1, videos + 1))
    share = [(1 - hot) / rank / harmonic for rank in range(1, videos + 1)]
    share[0] += hot
    return share


def laid_out(router: Router, nodes: int, plan: Plan) -> Row:
    """Lay out so many nodes, with a power of two of partitions, at least as many as are advised for them."""
    count = max(64, 1 << (_PARTITIONS_A_NODE * nodes - 1).bit_length())
    ids = [str(number) for number in range(1, nodes + 1)]
    ranked = router.ranked(range(count), ids)
    of_partition: Counter[int] = Counter()
    by_video = shares(plan.videos_a_node * nodes, plan.hot)
    for number, share in enumerate(by_video):
        of_partition[int(router.module.of(f"video-{number}", count))] += share  # type: ignore[assignment]  # a float
    hot = int(router.module.of("video-0", count))
    partitions: Counter[str] = Counter(homes[0] for homes in ranked.values())
    records, but_hot, viewers = dict.fromkeys(ids, 0.0), dict.fromkeys(ids, 0.0), dict.fromkeys(ids, 0.0)
    homes_of_hot = 1
    for partition, share in of_partition.items():
        places = router.places(round(share * plan.viewers_a_node * nodes) or 1, plan.bound, nodes)
        for rank, watching in places.items():
            home = ranked[partition][rank - 1]
            viewers[home] += watching
            records[home] += share
            but_hot[home] += share if partition != hot else 0.0
        if partition == hot:
            homes_of_hot = len(places)
    leaves, comes = (
        _moved(router, ranked, ids[: len(ids) // 2] + ids[len(ids) // 2 + 1 :], nodes, plan.moves),
        _moved(router, ranked, [*ids, str(nodes + 1)], nodes, plan.moves),
    )
    return Row(
        nodes,
        count,
        max(partitions.values()) / (count / nodes),
        max(records.values()) / mean(records.values()),
        over(max(but_hot.values()), mean(but_hot.values())),
        max(viewers.values()) / mean(viewers.values()),
        homes_of_hot,
        leaves[0],
        comes[0],
        leaves[1] + comes[1],
    )


def _moved(router: Router, before: dict[int, list[str]], ids: list[str], stayed: int, sample: int) -> tuple[float, int]:
    """Return the share of partitions whose home is another among `ids`, and how many moved between who stayed.

    Args:
        router: what ranks.
        before: the homes of each partition.
        ids: the servers that are up now.
        stayed: those up to this number were there before.
        sample: so many partitions are ranked again.
    """
    chosen = list(before)[:: max(1, len(before) // sample)]
    moved, for_nothing = 0, 0
    for partition, homes in router.ranked(chosen, ids).items():
        old, new = before[partition][0], homes[0]
        moved += old != new
        for_nothing += old != new and old in ids and int(new) <= stayed
    return moved / len(chosen), for_nothing


async def measure(plan: Plan, _kafka: str, _directory: Path, _pinned: bool) -> Outcome:
    """Lay out each number of nodes."""
    router = Router()
    rows = [laid_out(router, nodes, plan) for nodes in map(int, plan.nodes.split(","))]
    heads = ("partitions", "busiest", "records, busiest", "but the hot", "viewers, busiest", "homes of the hot")
    shown = table("busiest over the mean", "nodes", *heads, "moved, one leaves", "one comes", "for nothing")
    for row in rows:
        ratios = (row.records_busiest, row.records_but_hot, row.viewers_busiest)
        shown.add_row(
            f"{row.nodes:,}",
            f"{row.partitions:,}",
            f"{row.partitions_busiest:.2f}",
            *(f"{ratio:.2f}" for ratio in ratios),
            f"{row.homes_of_hot}",
            f"{row.moved_by_leaving:.2%}",
            f"{row.moved_by_coming:.2%}",
            f"{row.moved_for_nothing}",
        )
    return Outcome([shown], {"rows": [row._asdict() for row in rows]}, drawn(rows))


def drawn(rows: Sequence[Row]) -> str:
    """Draw how much more than the mean the busiest node has."""
    bars = []
    for row in rows:
        label = f"{row.nodes:,} nodes, {row.partitions:,} partitions"
        for series, ratio in (
            ("partitions", row.partitions_busiest),
            ("viewers", row.viewers_busiest),
            ("records but the hot partition's", row.records_but_hot),
            ("records", row.records_busiest),
        ):
            bars.append(Bar(label, series, ratio, ratio, f"{ratio:.2f}"))
    return chart("The busiest node over the mean:", bars, target=1.0)


if __name__ == "__main__":
    command("homes", __doc__, Plan(), measure, pinned=False, kafka=False)
