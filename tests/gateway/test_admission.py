"""Limits: what is too fast, when it may be tried again, and that gateways count together."""

import asyncio
import gc
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import ref

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.sqlite import DurableFile
from livecomments_gateway.admission import (
    Admission,
    AdmissionLimits,
    DuplicateTextRejected,
    LimitRejected,
    SlowModeRejected,
    UserLimitRejected,
    VideoLimitRejected,
)
from livecomments_gateway.facts import VideoSettings
from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import NewComment, Posting
from livecomments_schemas.events import Author, comment_created, video_changed
from tests.gateway.test_answers import JWT, signed
from tests.gateway.test_sessions import Clock
from tests.gateway.test_videos import gateway
from tests.history.world import until
from tests.served import served

OPEN: Final = VideoSettings()


def wait_s(refused: pytest.ExceptionInfo[LimitRejected]) -> int:
    return int(refused.value.headers["Retry-After"])


def test_a_person_writes_so_much_within_the_window_and_others_are_not_held_up() -> None:
    admission = Admission(AdmissionLimits(user_comments_max=3, user_period_s=10))
    for at in (0.0, 1.0, 2.0):
        admission.check("v", "ana", "", OPEN, at)
        admission.hear("v", "ana", "", at)
    with pytest.raises(UserLimitRejected) as refused:
        admission.check("v", "ana", "", OPEN, 2.5)
    assert wait_s(refused) == 8
    assert refused.value.headers["RateLimit-Policy"] == '"user";q=3;w=10'
    admission.check("v", "ben", "", OPEN, 2.5)
    admission.check("w", "ana", "", OPEN, 2.5)
    admission.check("v", "ana", "", OPEN, 10.0)


def test_slow_mode_is_per_person_and_duplicates_are_seen_through_case_and_spaces() -> None:
    slow = VideoSettings(slow_mode_s=5)
    admission = Admission(AdmissionLimits(duplicate_text_s=30))
    admission.hear("v", "ana", "Hello  there", 0.0)
    with pytest.raises(SlowModeRejected) as refused:
        admission.check("v", "ana", "x", slow, 4.5)
    assert wait_s(refused) == 1
    admission.check("v", "ana", "x", slow, 5.0)
    with pytest.raises(DuplicateTextRejected) as same:
        admission.check("v", "ana", "hello there", OPEN, 10.0)
    assert wait_s(same) == 20
    for hidden in ("hel\u200dlo\u3000there", "hello\u2800there\ufe0f", "hello\u034f there\u3164", "ＨＥＬＬＯ there"):
        with pytest.raises(DuplicateTextRejected):
            admission.check("v", "ana", hidden, OPEN, 10.0)
    admission.check("v", "ana", "hello, there", OPEN, 10.0)
    admission.check("v", "ben", "hello there", OPEN, 10.0)
    admission.check("v", "ana", "hello there", OPEN, 30.0)


def test_all_people_together_write_so_much_a_second() -> None:
    settings = VideoSettings(max_comments_per_s=2)
    admission = Admission(AdmissionLimits())
    for author, at in (("a", 0.0), ("b", 0.5)):
        admission.check("v", author, "", settings, at)
        admission.hear("v", author, "", at)
    with pytest.raises(VideoLimitRejected):
        admission.check("v", "c", "", settings, 0.9)
    admission.check("w", "c", "", settings, 0.9)
    admission.check("v", "c", "", settings, 1.0)


GAPS_S = st.integers(0, 5 * 1_024).map(lambda ticks: ticks / 1_024)
"""What a float holds exactly, sums and differences too: or the check's own rounding would count."""


@given(gaps=st.lists(GAPS_S, max_size=60), limit=st.integers(1, 5))
def test_no_window_ever_holds_more_than_the_limit_and_waiting_as_told_helps(gaps: list[float], limit: int) -> None:
    admission, now, written = Admission(AdmissionLimits(limit, 10.0)), 0.0, list[float]()
    for gap in gaps:
        now += gap
        try:
            admission.check("v", "ana", "", OPEN, now)
        except LimitRejected as refused:
            admission.check("v", "ana", "", OPEN, now + int(refused.headers["Retry-After"]))
            continue
        written.append(now)
        admission.hear("v", "ana", "", now)
        assert sum(at > now - 10.0 for at in written) <= limit


async def test_ten_gateways_allow_what_one_does(tmp_path: Path) -> None:
    identity = Identity(Author("ana", "Ana"), frozenset())
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
        gateway(log, store) as one,
        gateway(log, store) as other,
    ):
        slow = video_changed("v", VideoSettings(slow_mode_s=600).said(), "own")
        offset, _ = await one.append("v", slow)
        await other._history.home("v").verdict(offset, 10)
        await one.post("v", identity, NewComment("first", key="k"))
        await other._history.home("v").verdict(offset + 1, 10)
        for posting in (one, other):
            with pytest.raises(SlowModeRejected):
                await posting.post("v", identity, NewComment("second"))
            await posting.post("v", identity, NewComment("first", key="k"))  # a retry is no second comment


async def test_a_limit_says_when_to_come_back_and_does_not_hold_for_moderators(tmp_path: Path) -> None:
    async with served(tmp_path, user_comments_max=2, user_period_s=600.0, **JWT) as running:
        token, moderator = await running.token(), signed(sub="mod", roles=["moderate"])
        answers = [await running.post("v", f"m{n}", token) for n in range(2)]
        assert [status for status, _ in answers] == [201, 201]
        body: dict[str, Any] = {"message": "third"}
        headers = {"Authorization": f"Bearer {token}"}
        async with running.client.post("/comments/v", json=body, headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (429, "user_limit")
            assert 590 <= int(answer.headers["Retry-After"]) <= 600
            assert answer.headers["RateLimit-Policy"] == '"user";q=2;w=600'
            assert answer.headers["RateLimit"].startswith('"user";r=0;t=')
        more = await asyncio.gather(*(running.post("v", f"x{n}", moderator) for n in range(5)))
        assert [status for status, _ in more] == [201] * 5


async def test_a_gateway_that_starts_counts_what_was_written_before(tmp_path: Path) -> None:
    identity = Identity(Author("ana", "Ana"), frozenset())
    limits = AdmissionLimits(user_comments_max=2, user_period_s=600.0)
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
    ):
        async with gateway(log, store, limits) as one:
            for n in range(2):
                await one.post("v", identity, NewComment(f"m{n}"))
        async with gateway(log, store, limits) as restarted:
            with pytest.raises(UserLimitRejected) as refused:
                await restarted.post("v", identity, NewComment("third"))
            assert wait_s(refused) <= 600
            await restarted.post("w", identity, NewComment("elsewhere"))


async def test_a_partition_that_was_let_go_is_forgotten_and_counts_once_when_it_is_taken_on_again(
    tmp_path: Path,
) -> None:
    clock, identity = Clock(), Identity(Author("ana", "Ana"), frozenset())
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
    ):
        follower = Follower(log, (), TailBounds(10_000, 2**24, 900.0), idle_s=1.0, clock=clock)
        limits = AdmissionLimits(user_comments_max=5, user_period_s=1e6)
        posting = Posting(
            follower, History(follower, store), timeout_s=20.0, in_flight_max=10, limits=limits, clock=clock
        )
        running = asyncio.create_task(follower.run())
        try:
            first = ref(await follower.ready_partition(0, 20.0))
            for text in "abc":
                await posting.post("v", identity, NewComment(text))
            clock.now += 2.0
            await log.append(0, comment_created("w", "d", identity.author, created_at_ms=0, video_time_ms=None))
            await until(lambda: not follower.followed)
            gc.collect()
            assert first() is None, "its tail is many megabytes"
            await follower.ready_partition(0, 20.0)
            for text in "ef":
                await posting.post("v", identity, NewComment(text))
            with pytest.raises(UserLimitRejected):
                await posting.post("v", identity, NewComment("g"))
        finally:
            running.cancel()
            await asyncio.wait([running])


class Written(NamedTuple):
    """A comment that somebody tries to write through one of the gateways, some time after the one before."""

    gateway: int
    author: str
    video: str
    text: str
    after_s: float


WRITTEN: Final = st.builds(
    Written,
    st.integers(0, 2),
    st.sampled_from("ab"),
    st.sampled_from("vw"),
    st.sampled_from("xyz"),
    st.integers(0, 32).map(lambda n: n / 8),
)
SLOW_S, PER_S, PERSON_MAX, PERSON_S, SAME_S = 3, 2, 3, 9.0, 5.0
"""The limits of the next test; slow mode under `w` alone."""


def allowed(before: list[tuple[float, Written]], now: float, one: Written) -> bool:
    """What one gateway, which has seen all, allows: said anew, plainly."""
    mine = [(at, each) for at, each in before if (each.video, each.author) == (one.video, one.author)]
    return (
        (one.video == "v" or all(now - at >= SLOW_S for at, _ in mine[-1:]))
        and (one.video == "w" or sum(now - at < 1 for at, each in before if each.video == "v") < PER_S)
        and sum(now - at < PERSON_S for at, _ in mine) < PERSON_MAX
        and all(now - at >= SAME_S or each.text != one.text for at, each in mine[-1:])
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tries=st.lists(WRITTEN, max_size=25))
def test_whatever_is_tried_where_three_gateways_allow_what_one_does(
    tmp_path_factory: pytest.TempPathFactory, tries: list[Written]
) -> None:
    asyncio.run(_tried(tmp_path_factory.mktemp("log"), tries))


async def _tried(directory: Path, tries: list[Written]) -> None:
    clock, limits = Clock(), AdmissionLimits(PERSON_MAX, PERSON_S, SAME_S)
    async with (
        DurableFile(directory, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
        gateway(log, store, limits, clock) as first,
        gateway(log, store, limits, clock) as second,
        gateway(log, store, limits, clock) as third,
    ):
        gateways, before = (first, second, third), list[tuple[float, Written]]()

        async def read_back(offset: int) -> None:
            for each in gateways:
                await each._history.home("v").verdict(offset, 10)

        for video, set_ in (("v", VideoSettings(max_comments_per_s=PER_S)), ("w", VideoSettings(slow_mode_s=SLOW_S))):
            offset, _ = await first.append(video, video_changed(video, set_.said(), "own"))
        await read_back(offset)
        for one in tries:
            clock.now += one.after_s
            identity = Identity(Author(one.author, one.author), frozenset())
            try:
                await gateways[one.gateway].post(one.video, identity, NewComment(one.text))
            except LimitRejected:
                assert not allowed(before, clock.now, one)
                continue
            assert allowed(before, clock.now, one)
            before.append((clock.now, one))
            offset += 1
            await read_back(offset)
