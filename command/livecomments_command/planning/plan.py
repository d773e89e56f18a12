"""A load, and what it takes: processes of each tier, partitions, brokers, memory, egress, disks. Pure arithmetic.

Numbers that were measured come from `measured.json`; all else is an `Assumption`, which says why. Neither makes a
promise: measure your own machines, and hold the plan against it.
"""

from collections.abc import Mapping
from math import ceil, inf, sqrt
from typing import Final, NamedTuple

from livecomments_command.planning.measured import Measurement

_SECONDS_A_DAY: Final = 86_400
_HEAD: Final = 1_000
"""Videos by rank that are counted one by one; the others in steps."""
_STEP: Final = 1.1


class Assumption(NamedTuple):
    """A number that nobody measured here."""

    value: float
    unit: str
    why: str


ASSUMED: Final[Mapping[str, Assumption]] = {
    "core_used": Assumption(0.5, "of a core", "the busiest node has up to twice the mean, and one node more must fit"),
    "nodes_min": Assumption(2, "of a tier", "one may go"),
    "partitions_a_node": Assumption(32, "partitions", "few enough to read, enough to be even (docs/decisions/0015)"),
    "partitions_min": Assumption(64, "partitions", "what a new topic has"),
    "home_viewers": Assumption(5_000, "viewers", "of a partition for each home, as the router has it (infra/haproxy)"),
    "kernel_bytes": Assumption(8_000, "bytes", "of a connection, in the kernel of an edge's machine"),
    "tails_bytes": Assumption(512 * 2**20, "bytes", "LIVECOMMENTS_TAILS_BYTES_MAX, the tails of one process"),
    "record_bytes": Assumption(450, "bytes", "a comment with key and headers, in the log"),
    "row_bytes": Assumption(400, "bytes", "a comment in the store, before its compression"),
    "replicas": Assumption(3, "copies", "of log and store"),
    "broker_bytes_per_s": Assumption(30e6, "bytes/s", "written on one broker, replication included, on ordinary disks"),
    "broker_partitions": Assumption(4_000, "partitions", "on one broker, replicas included; Kafka's own advice"),
    "mean_over_peak": Assumption(0.3, "of the peak", "comments a second over a day, for the disks"),
    "retention_days": Assumption(7, "days", "that the log keeps"),
    "store_days": Assumption(365, "days", "that the store keeps"),
}


class Demand(NamedTuple):
    """What a deployment is to bear, at its peak."""

    viewers: int
    comments_per_s: float
    videos: int
    hot: float = 0.1
    """The share of viewers and comments that the hottest video has beside what is its by Zipf's law, 0 to 1."""
    video_comments_max: float = inf
    """Comments a second that the owner of a video lets in; what is beyond is refused, and costs nothing here."""


class Limit(NamedTuple):
    """What more processes do not help. `used` is how much of it is needed: from 1 on it breaks."""

    what: str
    needed: float
    bound: float
    help: str

    @property
    def used(self) -> float:
        """How much of the bound is needed."""
        return self.needed / self.bound


class Needed(NamedTuple):
    """What it takes."""

    comments_per_s: float
    """That are let in."""
    edges: int
    gateways: int
    stream_jobs: int
    partitions: int
    brokers: int
    edge_bytes: float
    """Memory of one edge; so below."""
    gateway_bytes: float
    egress_bytes_per_s: float
    log_bytes: float
    """On all brokers together; `store_bytes` likewise."""
    store_bytes: float
    delivering_cores: float
    following_cores: float
    """Of all edges."""
    limits: list[Limit]
    """What breaks first comes first."""


class Crowd(NamedTuple):
    """So many videos alike: the viewers and the comments a second of each."""

    videos: int
    viewers: float
    comments_per_s: float


def crowds(demand: Demand) -> list[Crowd]:
    """Share viewers and comments out by Zipf's law: the first videos one by one, the others in steps of a tenth."""
    steps, rank = [], 1
    while rank <= demand.videos:
        following = min(demand.videos + 1, rank + 1 if rank < _HEAD else ceil(rank * _STEP))
        steps.append((following - rank, 1 / sqrt(rank * (following - 1))))
        rank = following
    weight = sum(count * each for count, each in steps)
    made = []
    for at, (count, each) in enumerate(steps):
        share = (1 - demand.hot) * each / weight + (0 if at else demand.hot)
        comments_per_s = min(demand.comments_per_s * share, demand.video_comments_max)
        made.append(Crowd(count, demand.viewers * share, comments_per_s))
    return made


def writes_per_s(comments_per_s: float, found: Mapping[str, Measurement]) -> float:
    """Return how often a second a viewer of such a video is written to: comments that come close go together."""
    most = 100 * found["delivery_100_us"].value / found["write_us"].value
    return min(comments_per_s, most)


def bytes_per_s(comments_per_s: float, found: Mapping[str, Measurement]) -> float:
    """Return what a viewer of such a video is sent a second: the more comments go together, the smaller each."""
    steps = ((1_000, "bytes_1000"), (100, "bytes_100"), (0, "bytes_single"))
    return comments_per_s * next(found[name].value for least, name in steps if comments_per_s >= least)


def plan(demand: Demand, found: Mapping[str, Measurement], assumed: Mapping[str, Assumption] = ASSUMED) -> Needed:
    """Return what the load takes, each tier at `core_used` of a core a process on the mean."""
    value = {name: one.value for name, one in found.items()} | {name: one.value for name, one in assumed.items()}
    most = crowds(demand)
    hottest = most[0]
    writes = sum(one.videos * one.viewers * writes_per_s(one.comments_per_s, found) for one in most)
    egress = sum(one.videos * one.viewers * bytes_per_s(one.comments_per_s, found) for one in most)
    comments_per_s = sum(one.videos * one.comments_per_s for one in most)

    def homes(one: Crowd) -> int:
        return max(1, ceil(one.viewers / value["home_viewers"]))

    followed = sum(one.videos * one.comments_per_s * homes(one) for one in most)
    delivering, following = writes * value["write_us"] / 1e6, followed * value["follow_us"] / 1e6

    def nodes(cores: float) -> int:
        return max(int(value["nodes_min"]), ceil(cores / value["core_used"]))

    edges = nodes(delivering + following)
    gateways = nodes(comments_per_s * value["post_us"] / 1e6)
    jobs = max(int(value["nodes_min"]), ceil(comments_per_s / (value["rows_per_s"] * value["core_used"])))
    least = max(value["partitions_min"], value["partitions_a_node"] * max(edges, gateways))
    partitions = 1 << (ceil(least) - 1).bit_length()
    written = comments_per_s * value["record_bytes"] * value["replicas"]
    held = partitions * value["replicas"]
    brokers = max(
        int(value["replicas"]), ceil(written / value["broker_bytes_per_s"]), ceil(held / value["broker_partitions"])
    )
    a_day = comments_per_s * value["mean_over_peak"] * _SECONDS_A_DAY * value["replicas"]
    viewer_bytes = value["viewer_bytes"] + value["kernel_bytes"]
    return Needed(
        comments_per_s,
        edges,
        gateways,
        jobs,
        partitions,
        brokers,
        value["process_bytes"] + value["tails_bytes"] + demand.viewers / edges * viewer_bytes,
        value["process_bytes"] + value["tails_bytes"],
        egress,
        a_day * value["record_bytes"] * value["retention_days"],
        a_day * value["row_bytes"] * value["store_days"],
        delivering,
        following,
        sorted(_limits(hottest, homes(hottest), edges, partitions, value), key=lambda limit: -limit.used),
    )


def _limits(hottest: Crowd, homes: int, edges: int, partitions: int, value: Mapping[str, float]) -> list[Limit]:
    """Collect what one video, one partition and one router must bear, whatever is beside it."""
    read_per_s = value["core_used"] * 1e6 / value["follow_us"]
    return [
        Limit(
            "comments/s of the hottest video, written by one gateway",
            hottest.comments_per_s,
            value["hot_posts_per_s"],
            "a limit of comments a second on that video; further homes at the router",
        ),
        Limit(
            "comments/s of the hottest video, read by each of its homes",
            hottest.comments_per_s,
            read_per_s,
            "a limit of comments a second on that video: a partition is not divisible",
        ),
        Limit(
            "comments/s of the hottest video, stored by one stream job",
            hottest.comments_per_s,
            value["hot_rows_per_s"],
            "the same; history falls behind, and is read from the log meanwhile",
        ),
        Limit("homes of the hottest video, of all edges", homes, edges, "more edges, or fewer viewers a home"),
        Limit("partitions, of what the router's Lua takes", partitions, 65_536, "fewer partitions a node"),
    ]
