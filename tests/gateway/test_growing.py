"""Two gateways while their epoch grows into the next: nothing that was said on one side is forgotten on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.growing import GrowingFollower, Past
from livecomments.following.tail import TailBounds
from livecomments.history.pages import newest_first
from livecomments.history.reading import History
from livecomments.log.interface import AppendRefused, CommentLog
from livecomments.sqlite import DurableFile
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.facts import VideoSettings
from livecomments_gateway.owning import Owning
from livecomments_gateway.posting import NO_LIMITS, NewComment, Posting
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import EPOCH_FENCE, epoch_event
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, first_position, parse_comment_id
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from tests.gateway.test_acts import ANA, MOD
from tests.log.contract import WAIT_S
from tests.log.faults import WatchedLog

OLD, NEW = 2, 4
VIDEO: Final = next(f"v{n}" for n in range(99) if partition_of(f"v{n}", NEW) >= OLD)
"""Its partition has another number in the next epoch."""


class Gateway:
    def __init__(self, log: CommentLog, store: EmbeddedStore, limits: AdmissionLimits, past: Past | None) -> None:
        counts = {} if past is None else {1: OLD}
        self.follower = GrowingFollower(log, range(log.partition_count), BOUNDS, counts=counts, past=past)
        self.told = set[int]()
        self.history = History(self.follower, store, is_told=self._is_told)
        self.posting = Posting(self.follower, self.history, timeout_s=WAIT_S, in_flight_max=100, limits=limits)
        self.acts = Owning(self.history, self.posting)

    async def _is_told(self, epoch: int) -> bool:
        return epoch in self.told

    async def post(self, text: str, key: str | None = None, after: str | None = None) -> str:
        """Post; the comment's id, or the code of the refusal."""
        try:
            answer = await self.posting.post(VIDEO, ANA, NewComment(text, key=key, after=after))
        except (Rejected, Unavailable) as refused:
            return refused.code
        return str(orjson.loads(answer)["commentId"])

    async def page(self) -> list[str]:
        """The messages of the newest page, oldest first."""
        followed = self.history.home(VIDEO)
        page = await newest_first(self.history, followed, VIDEO, None, 100)
        assert [entry.comment_id for entry in page.comments] == [
            followed.id_at(VIDEO, entry.position) for entry in page.comments
        ]
        return [orjson.loads(entry.value)["message"] for entry in reversed(page.comments)]


BOUNDS: Final = TailBounds(1_000, 2**24, 1e9)


class Growth:
    """Two epochs, and gateways that serve the first."""

    def __init__(self, file: DurableFile, old: EmbeddedLog, new: EmbeddedLog, store: EmbeddedStore) -> None:
        self.old, self.new, self.store = old, new, store
        self.file = file
        self.before_append: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Happens once, just before a gateway's next append."""
        self.gateways: list[Gateway] = []
        self.running: list[asyncio.Task[None]] = []
        self.fences: list[int] = []

    async def gateway(self, limits: AdmissionLimits = NO_LIMITS) -> Gateway:
        """One that starts now, in the epoch that is open."""
        is_grown = bool(self.fences)
        log = WatchedLog(self.new if is_grown else self.old, self._around)
        made = Gateway(log, self.store, limits, Past(self.old, self.fences) if is_grown else None)
        self.gateways.append(made)
        self.running.append(asyncio.create_task(made.follower.run()))
        for number in range(log.partition_count):
            await made.follower.ready_partition(number, WAIT_S)
        return made

    async def _around(self, name: str) -> None:
        if name == "append" and self.before_append is not None:
            first, self.before_append = self.before_append, None
            await first()

    async def fence(self) -> None:
        """End the first epoch."""
        self.fences = [await self.old.append(number, epoch_event(EPOCH_FENCE, 1)) for number in range(OLD)]

    async def open(self) -> None:
        """Store the first epoch to its end, and let all gateways go on in the next."""
        async with EmbeddedLog(self.file, "letters", 0, 1) as letters:
            job = Job(self.old, self.store, DeadLetters(letters, "comments-1"))
            for number, held in (await self.old.bounds(range(OLD))).items():
                await job.take((await self.old.read(number, 0, held.end, 1_000)).records)
            await job.advance_watermarks()
        for one in self.gateways:
            await one.follower.move_on(WatchedLog(self.new, self._around), self.fences, range(NEW))

    async def grow(self) -> None:
        await self.fence()
        await self.open()


@asynccontextmanager
async def growth(directory: Path) -> AsyncIterator[Growth]:
    async with (
        DurableFile(directory, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, OLD) as old,
        EmbeddedLog(file, "comments-2", 2, NEW) as new,
        EmbeddedStore(file) as store,
    ):
        made = Growth(file, old, new, store)
        try:
            yield made
        finally:
            for task in made.running:
                task.cancel()
            await asyncio.gather(*made.running, return_exceptions=True)


async def test_what_is_said_while_the_epoch_ends_waits_and_is_said_in_the_next(tmp_path: Path) -> None:
    async with growth(tmp_path) as it:
        one, other = await it.gateway(), await it.gateway()
        first = await one.post("before")
        await it.fence()
        for gateway in (one, other):
            for number in range(OLD):
                await gateway.follower.followed[number].reach(first_position(1) + it.fences[number], WAIT_S)
        held = [asyncio.create_task(gateway.post(f"held {n}")) for n, gateway in enumerate((one, other))]
        await it.open()
        ids = [await one_held for one_held in held]
        assert [parse_comment_id(text)[0] >> 40 for text in (first, *ids)] == [1, 2, 2]
        assert all(text > first for text in ids)
        assert {parse_comment_id(text)[1] for text in ids} == {partition_of(VIDEO, NEW)}
        await asyncio.gather(*(gateway.post("after") for gateway in (one, other)))
        assert (await one.page())[0] == "before"
        assert sorted((await one.page())[1:]) == ["after", "after", "held 0", "held 1"]


async def test_a_comment_and_an_act_that_come_behind_the_fence_are_appended_again(tmp_path: Path) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway()
        first = await one.post("before")
        it.before_append = it.fence
        late = asyncio.create_task(one.post("late", key="k"))
        while not it.fences:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        await it.open()
        assert parse_comment_id(await late)[0] >> 40 == 2
        number = partition_of(VIDEO, OLD)
        assert (await it.old.bounds([number]))[number].end == it.fences[number] + 2, "it came behind the fence first"
        await one.posting.delete(VIDEO, first, ANA)
        assert await one.page() == ["late"]
        assert await one.post("late", key="k") == await late


@pytest.mark.parametrize("is_read", [True, False], ids=["fence read", "fence not read yet"])
async def test_what_kafka_refuses_where_the_epoch_has_ended_is_appended_in_the_next(
    tmp_path: Path, *, is_read: bool
) -> None:
    """Behind the fences the topic takes nothing any more, and an append may have been under way for all that time."""
    async with growth(tmp_path) as it:
        one = await it.gateway()
        number = partition_of(VIDEO, OLD)

        async def refuse() -> None:
            await it.fence()
            if is_read:
                await one.follower.followed[number].reach(first_position(1) + it.fences[number], WAIT_S)
            raise AppendRefused("Kafka refuses the record for good, MESSAGE_TOO_LARGE: it is not written.")

        it.before_append = refuse
        late = asyncio.create_task(one.post("late", key="k"))
        while not it.fences:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        await it.open()
        assert parse_comment_id(await late)[0] >> 40 == 2
        assert await one.page() == ["late"]


async def test_what_kafka_refuses_where_the_epoch_goes_on_is_refused(tmp_path: Path) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway()

        async def refuse() -> None:
            raise AppendRefused("Kafka refuses the record for good, TOPIC_AUTHORIZATION_FAILED: it is not written.")

        it.before_append = refuse
        assert await one.post("refused") == "append_refused"
        assert parse_comment_id(await one.post("taken"))[0] >> 40 == 1


async def test_an_act_that_is_fenced_is_repeated_and_holds(tmp_path: Path) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway()
        await one.post("before")
        it.before_append = it.fence
        banning = asyncio.create_task(one.acts.ban(VIDEO, ANA.author.id, MOD, 0))
        while not it.fences:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0)
        await it.open()
        await banning
        assert await one.post("banned now") == "banned"


@pytest.mark.parametrize("is_restarted", [False, True], ids=["gone on", "started behind the seam"])
async def test_a_retry_over_the_seam_gives_the_first_comment(tmp_path: Path, *, is_restarted: bool) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway()
        seen = await one.post("seen")
        first = await one.post("once", key="k")
        await it.grow()
        if is_restarted:
            one = await it.gateway()
        assert await one.post("once", key="k") == first
        assert await one.post("other", key="k") == "idempotency_conflict"
        assert await one.post("new", key="n", after=seen) > first
        assert (await one.page()).count("once") == 1
        await one.posting.delete(VIDEO, first, ANA)
        assert await one.post("once", key="k") == "comment_deleted"


async def test_what_was_set_said_and_limited_before_holds_after(tmp_path: Path) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway(AdmissionLimits(user_comments_max=2, user_period_s=600.0))
        await one.post("one")
        await it.grow()
        await one.post("two")
        assert await one.post("three") == "user_limit"
        await one.acts.put(VIDEO, VideoSettings(title="live"), "ended", MOD)
        assert await one.post("over") == "video_ended"


@pytest.mark.parametrize("is_restarted", [False, True], ids=["gone on", "started behind the seam"])
async def test_a_video_that_ended_before_is_over_after(tmp_path: Path, *, is_restarted: bool) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway()
        await one.acts.put(VIDEO, VideoSettings(title="live"), "ended", MOD)
        await it.grow()
        if is_restarted:
            one = await it.gateway()
        assert await one.post("over") == "video_ended"
        assert (await one.acts.read(VIDEO)).settings.title == "live"


async def test_ids_of_before_stay_what_they_were_and_those_of_the_next_epoch_are_waited_for(tmp_path: Path) -> None:
    async with growth(tmp_path) as it:
        one = await it.gateway()
        first = await one.post("before")
        ahead = comment_id(first_position(2) + 3, partition_of(VIDEO, NEW))
        with pytest.raises(Rejected):
            await one.posting.find(VIDEO, ahead)
        one.told.add(2)
        with pytest.raises(Unavailable):
            await one.posting.find(VIDEO, ahead)
        await it.grow()
        comment, _ = await one.posting.find(VIDEO, first)
        assert orjson.loads(comment)["commentId"] == first
