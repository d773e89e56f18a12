"""Admission, drain, rotation, stuck viewers and silence, in virtual time."""

import asyncio
import random
from itertools import pairwise

import pytest

from livecomments_consumers.settings import HubSettings
from livecomments_consumers.viewer import Feed, Step, Viewer
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id
from tests.consumers.edge import IDLE_S, Reader, VirtualEdge, virtual_edge, virtually
from tests.consumers.sim.loop import clock, pass_time
from tests.consumers.streams import counted

VIEWERS = 200


def crowd(edge: VirtualEdge, count: int = VIEWERS) -> list[Reader]:
    readers = [reader for n in range(count) if (reader := edge.connect(f"video{n % 7}")) is not None]
    assert len(readers) == count
    return readers


def ended_by(readers: list[Reader], at: float) -> int:
    return sum(reader.ended_at is not None and reader.ended_at <= at for reader in readers)


@pytest.mark.parametrize("count", [51, VIEWERS])
def test_a_drain_ends_streams_at_a_constant_rate_with_a_word_and_a_time_of_their_own(count: int) -> None:
    window_s = 10.0

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            readers, began_at = crowd(edge, count), clock()
            await edge.hub.drain(window_s)
            for part in (0.2, 0.4, 0.6, 0.8):
                assert ended_by(readers, began_at + part * window_s) == pytest.approx(count * part, abs=count * 0.05)
            assert ended_by(readers, began_at + window_s) == count
            assert all(b'{"reason":"drain"}' in reader.said for reader in readers)
            retries = {reader.said.rsplit(b"retry: ", 1)[1].split(b"\n")[0] for reader in readers}
            assert len(retries) > count * 0.8
            assert edge.connect() is None

    virtually(run)


def test_a_drain_does_not_wait_for_who_takes_nothing() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            (reader,) = crowd(edge, 1)
            reader.is_stalled = True
            edge.append(100, "video0", "x" * 100)
            await pass_time(1.0)
            began_at = clock()
            await edge.hub.drain(3.0)
            await pass_time(0.1)
            assert reader.ended_at is not None
            assert clock() - began_at < 3.0
            await edge.hub.drained(0.1)

    virtually(run)


def test_a_stream_lives_about_as_long_as_it_may_and_no_two_end_together() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings(viewer_life_s=1_000.0)) as edge:
            readers, began_at = crowd(edge), clock()
            await pass_time(1_300.0)
            lives = sorted(reader.ended_at - began_at for reader in readers if reader.ended_at is not None)
            assert len(lives) == VIEWERS
            assert lives[0] >= 750.0
            assert lives[-1] <= 1_251.0
            assert max(later - earlier for earlier, later in pairwise(lives)) < 50.0, "spread over all of it"
            assert len(set(lives)) > VIEWERS / 2
            assert all(b'{"reason":"rotate"}' in reader.said for reader in readers)

    virtually(run)


def test_who_takes_nothing_is_cut_off_and_who_takes_a_little_is_not() -> None:
    before = counted("disconnects_total", reason="stuck")

    async def run() -> None:
        async with virtual_edge(HubSettings(viewer_stuck_s=20.0)) as edge:
            stalled, slow, quick = crowd(edge, 1)[0], edge.connect("video0"), edge.connect("video0")
            assert slow is not None
            assert quick is not None
            stalled.is_stalled = slow.is_stalled = True
            for _ in range(60):
                edge.append(5, "video0", "x" * 100)
                await pass_time(1.0)
                slow.said += b"".join(data for data, _ in slow.transport.take(50))
            assert stalled.ended_at is not None
            assert slow.ended_at is None
            assert quick.ended_at is None
            assert quick.said.count(b"event: comment") == 300
            assert counted("disconnects_total", reason="stuck") == before + 1

    virtually(run)


def test_who_takes_a_block_slowly_is_not_stuck_in_the_asgi_lane_either() -> None:
    before = counted("disconnects_total", reason="stuck")

    async def run() -> None:
        async with virtual_edge(HubSettings(viewer_stuck_s=20.0)) as edge:
            slow, stalled = await edge.respond(), await edge.respond()
            slow.is_stalled = stalled.is_stalled = True
            edge.append(300, "v", "x" * 200)
            for _ in range(160):
                slow.said += b"".join(data for data, _ in slow.transport.take(2_000))
                await pass_time(1.0)
            assert slow.said.count(b"event: comment") == 300
            assert counted("disconnects_total", reason="stuck") == before + 1

    virtually(run)


def test_a_silent_log_is_said_to_all_and_nobody_is_sent_away_for_it() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings(stale_after_s=5.0)) as edge:
            readers = crowd(edge)
            await pass_time(20.0)
            assert not any(b"event: stale" in reader.said for reader in readers)
            edge.view.away_until = edge.view.silent_until = clock() + 20.0
            await pass_time(20.0)
            for reader in readers:
                assert 2 <= reader.said.count(b"event: stale") <= 4
                assert reader.ended_at is None
            said = [reader.said.count(b"event: stale") for reader in readers]
            edge.append(1, "video0")
            await pass_time(20.0)
            assert [reader.said.count(b"event: stale") for reader in readers] == said
            assert all(b"event: comment" in reader.said for reader in readers[::7])

    virtually(run)


def test_a_silent_partition_is_said_to_its_viewers_alone_after_the_bound() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings(stale_after_s=5.0), assigned=(0, 1)) as edge:
            videos = [next(f"v{n}" for n in range(99) if partition_of(f"v{n}", 2) == number) for number in (0, 1)]
            others, silent = (edge.connect(video) for video in videos)
            assert others
            assert silent
            await pass_time(20.0)
            edge.view.leaderless = {1}
            await pass_time(3.5)
            assert b"event: stale" not in silent.said
            await pass_time(16.5)
            assert 2 <= silent.said.count(b"event: stale") <= 4
            assert silent.ended_at is None
            edge.view.leaderless = set()
            said = silent.said.count(b"event: stale")
            await pass_time(20.0)
            assert silent.said.count(b"event: stale") == said
            assert b"event: stale" not in others.said

    virtually(run)


def test_who_is_cut_off_stands_in_no_cohort_from_then_on() -> None:
    """Its descriptor may be somebody else's before its transport says that it is gone."""

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            for _ in range(2):
                edge.connect()
            await pass_time(1.0)
            channel = edge.hub._channels["v"]
            (cohort,) = channel.cohorts
            gone, stays = channel.lanes
            gone.abort("error")
            assert list(cohort.members.values()) == [stays]

    virtually(run)


def test_heartbeats_of_a_crowd_that_are_due_together_give_the_loop_away_between_them() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            readers = [edge.connect() for _ in range(1_600)]
            await pass_time(1.0)
            cohorts = edge.hub._channels["v"].cohorts
            assert [len(cohort.members) for cohort in cohorts] == [500, 500, 500, 100]
            before = [reader.said.count(b"event: heartbeat") for reader in readers if reader is not None]
            for cohort in cohorts:
                cohort.written_at -= 15.0
            tick, rounds = asyncio.create_task(edge.hub.tick()), 0
            while not tick.done():
                await pass_time(0)
                rounds += 1
            assert rounds >= 4
            await pass_time(0.1)
            after = [reader.said.count(b"event: heartbeat") for reader in readers if reader is not None]
            assert after == [count + 1 for count in before]

    virtually(run)


def test_times_to_come_back_after_are_never_at_once_and_spread() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            times = [edge.hub.retry_ms() for _ in range(1_000)]
            assert min(times) >= 1_000
            assert len(set(times)) > 500

    virtually(run)


def test_memory_of_a_viewer_that_left_is_let_go_whatever_it_watched() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            rng = random.Random(1)
            for n in range(2_000):
                reader = edge.connect(f"v{n}-{rng.random()}")
                assert reader is not None
                reader.transport.cut()
            await pass_time(1.0)
            assert not edge.hub._channels
            assert not edge.follower._holders
            assert not edge.hub._count

    virtually(run)


def test_the_first_viewer_of_a_partition_that_is_not_assigned_takes_it_on_and_the_last_lets_it_go() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings(), ()) as edge:
            edge.append(3)
            assert edge.connect() is None, "the fast lane waits for nobody"
            began_at = clock()
            first = await edge.respond()
            assert clock() - began_at < 0.5
            second = edge.connect()
            assert second is not None
            await pass_time(IDLE_S * 2)
            edge.append(1)
            await pass_time(1.0)
            assert first.said.count(b"event: comment") == second.said.count(b"event: comment") == 1
            first.transport.cut()
            second.transport.cut()
            await pass_time(IDLE_S / 2)
            assert 0 in edge.follower.followed
            await pass_time(IDLE_S)
            assert 0 not in edge.follower.followed

    virtually(run)


def test_while_a_partition_cannot_be_read_viewers_are_told_to_come_back() -> None:
    before = counted("connections_total", result="not_ready")

    async def run() -> None:
        async with virtual_edge(HubSettings(), ()) as edge:
            edge.view.away_until = clock() + 60.0
            reader = await edge.respond()
            await pass_time(0.1)
            assert b"HTTP/1.1 200 OK" in reader.said
            assert b"\nretry: " in reader.said
            assert counted("connections_total", result="not_ready") == before + 1

    virtually(run)


def test_a_crowd_that_is_behind_keeps_who_is_live_waiting_for_a_slice_of_it_and_no_longer() -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.append(600, "v", "x")
            await pass_time(1.0)
            live, crowd, came = edge.connect(), list[Reader | None](), asyncio.Event()
            assert live is not None
            query = f"?after={comment_id(edge.log.position(0), 0)}"

            def come(*_: object) -> None:
                crowd.extend(edge.connect("v", query) for _ in range(250))
                came.set()

            edge.follower.listeners.append(come)
            edge.append(1, "v", "news")
            await came.wait()
            while b"news" not in live.said:
                await pass_time(0)
            assert sum(reader is not None and b"news" in reader.said for reader in crowd) < 100
            edge.follower.listeners.remove(come)
            await pass_time(1.0)
            assert all(reader is not None and reader.said.count(b"event: comment") == 600 for reader in crowd)

    virtually(run)


def test_a_log_that_lost_its_end_is_a_gap_for_each_viewer_on_the_wire_and_in_the_count() -> None:
    before = counted("gaps_total", reason="unknown_position")

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            readers = crowd(edge, 3)
            edge.append(20, "video0")
            await pass_time(1.0)
            edge.log.lose_end(edge.log.end - 3)
            await pass_time(5.0)
            assert [reader.said.count(b"event: gap") for reader in readers] == [1, 1, 1]
            assert counted("gaps_total", reason="unknown_position") == before + 3

    virtually(run)


class Failing(Viewer):
    """A viewer with a bug."""

    __slots__ = ()

    def step(self, feed: Feed, now: float) -> Step:
        raise ZeroDivisionError


def test_a_stream_of_the_asgi_lane_in_which_we_fail_is_counted_as_our_error() -> None:
    before = counted("disconnects_total", reason="error"), counted("disconnects_total", reason="client")

    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            edge.hub._make_viewer = Failing
            reader = await edge.respond()
            assert reader.serving is not None
            with pytest.raises(ZeroDivisionError):  # for the server, which logs it
                await reader.serving
            assert counted("disconnects_total", reason="error") == before[0] + 1
            assert counted("disconnects_total", reason="client") == before[1]

    virtually(run)


def test_who_is_about_to_watch_finds_the_partition_there_when_it_does() -> None:
    """Between the look at it and the first word to a viewer others have their turn, and idle partitions go."""

    async def run() -> None:
        async with virtual_edge(HubSettings(), ()) as edge:
            await edge.follower.ready_partition(0, 10.0)
            for _ in range(4):
                await pass_time(IDLE_S * 0.9)
                _, followed = edge.hub.home("v")
                assert followed is not None
            await pass_time(IDLE_S * 2)
            assert not edge.follower.followed

    virtually(run)
