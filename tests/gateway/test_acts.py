"""What is answered agrees with one place in the log, however old or empty what this gateway knows is: acts are always
appended, a keyed retry is refused only where its first copy is not, and nothing is said that was not read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson
import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower, PartitionUnavailable
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.log.interface import CommentLog
from livecomments.sqlite import DurableFile
from livecomments.store.interface import CommentStore, StoreUnavailable
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.facts import MEMBERS, MODERATE, OWN, VideoSettings
from livecomments_gateway.identity import Identity
from livecomments_gateway.owning import Owning
from livecomments_gateway.posting import NO_LIMITS, NewComment, Posting
from livecomments_gateway.reports import OF_COMMENT_MAX, Reports
from livecomments_gateway.word_list import WordList
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import Author
from livecomments_streams.dead_letters import DeadLetters
from livecomments_streams.job import Job
from tests.gateway.test_sessions import Clock
from tests.history.faults import WatchedStore
from tests.log.contract import WAIT_S
from tests.log.faults import ClockedLog, GatedLog

T = TypeVar("T")

ANA: Final = Identity(Author("ana", "Ana"), frozenset(), session_ends_at=2**40)
MOD: Final = Identity(Author("mod", "Mod"), frozenset({MODERATE, OWN}))
LIVE: Final = VideoSettings(title="x")


class Gateway:
    """One gateway's follower, writes and acts."""

    def __init__(
        self,
        log: CommentLog,
        store: CommentStore,
        *,
        limits: AdmissionLimits = NO_LIMITS,
        only_registered: bool = False,
        forbidden: tuple[str, ...] = (),
    ) -> None:
        clock = Clock()
        self.follower = Follower(log, [0], TailBounds(1_000, 2**24, 1e9), clock=clock)
        self.posting = Posting(
            self.follower,
            History(self.follower, store),
            timeout_s=WAIT_S,
            in_flight_max=100,
            limits=limits,
            words=WordList(forbidden),
            only_registered=only_registered,
            clock=clock,
        )
        self.acts = Owning(self.posting._history, self.posting)
        self.reports = Reports(self.posting._history, self.posting)

    async def post(self, text: str, key: str | None = None, identity: Identity = ANA) -> str:
        """Post; the comment's id, or the code of the refusal."""
        try:
            return str(orjson.loads(await self.posting.post("v", identity, NewComment(text, key=key)))["commentId"])
        except (Rejected, Unavailable) as refused:
            return refused.code

    async def released(self, work: Coroutine[Any, Any, T], pair: "Pair") -> T:
        """What `work` gives if this gateway, once it has come as far as it can, hears of the log little by little."""
        working = asyncio.create_task(work)
        async with asyncio.timeout(WAIT_S):
            while not {"bounds:done", "append:done"} & {*pair.calls}:  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0)
            while not working.done():
                pair.gate.release(min(pair.gate.released + 1, await pair.end()))
                await asyncio.sleep(0)
        return await working


class Pair:
    """Two gateways on one log and store; the second hears of the log only what is released."""

    def __init__(self, log: EmbeddedLog, letters: EmbeddedLog, store: EmbeddedStore) -> None:
        self.log, self.letters = log, letters
        self.gate = GatedLog(log, self._note)
        self.calls: list[str] = []
        """Of the gateway that lags, on its log."""
        self.store = WatchedStore(store)
        self.running: list[asyncio.Task[None]] = []

    async def open(self, log: CommentLog, **options: object) -> Gateway:
        """A gateway that is ready."""
        made = Gateway(log, self.store, **options)  # type: ignore[arg-type]  # as `Gateway` takes them
        self.running.append(asyncio.create_task(made.follower.run()))
        await made.follower.ready_partition(0, WAIT_S)
        return made

    async def _note(self, name: str) -> None:
        self.calls.append(name)

    async def end(self) -> int:
        return (await self.log.bounds([0]))[0].end

    async def store_all(self) -> None:
        """Let the store have all that the log has."""
        job = Job(self.log, self.store.inner, DeadLetters(self.letters, "comments-1"))
        if records := (await self.log.read(0, 0, await self.end(), 1_000)).records:
            await job.take(records)
            await job.advance_watermarks()

    async def release(self) -> None:
        """Let the gateway that lags hear all that the log has."""
        self.gate.release(await self.end())

    async def reads_on(self, work: asyncio.Task[Any]) -> None:
        """Wait until the gateway that lags asks where the log ends, or has answered without."""
        async with asyncio.timeout(WAIT_S):
            while not ("bounds:done" in self.calls or work.done()):  # noqa: ASYNC110 - no event says so
                await asyncio.sleep(0)


@asynccontextmanager
async def open_pair(directory: Path) -> AsyncIterator[Pair]:
    async with (
        DurableFile(directory, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedLog(file, "letters", 1, 1) as letters,
        EmbeddedStore(file) as store,
    ):
        pair = Pair(log, letters, store)
        try:
            yield pair
        finally:
            for task in pair.running:
                task.cancel()
            await asyncio.wait(pair.running)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with open_pair(tmp_path) as opened:
        yield opened


Act = Callable[[Owning], Awaitable[object]]
ACTS: Final[dict[str, tuple[Act, int]]] = {
    "ban": (lambda acts: acts.ban("v", "ana", MOD, 0), 1),
    "unban": (lambda acts: acts.unban("v", "ana", MOD), 1),
    "live": (lambda acts: acts.put("v", LIVE, "live", MOD), 2),
    "ended": (lambda acts: acts.put("v", LIVE, "ended", MOD), 2),
    "settings": (lambda acts: acts.put("v", LIVE, "live", MOD), 2),
}
"""Each with how many records it is."""


@pytest.mark.parametrize("name", ACTS)
async def test_an_act_is_appended_whatever_this_gateway_knows(pair: Pair, name: str) -> None:
    """Said twice, it is written twice; so it is written too where the memory is old, or empty as the store is away."""
    act, count = ACTS[name]
    one = await pair.open(pair.log)
    for n in (1, 2):
        await act(one.acts)
        assert await pair.end() == n * count
    await pair.store_all()
    empty = await pair.open(pair.log)
    followed = empty.follower.followed[0]
    followed.tail.forget(followed.judged_through)  # what bounds leave to the store
    pair.store.is_away = True
    await act(empty.acts)
    assert await pair.end() == 3 * count


async def test_a_gateway_that_lags_says_what_it_is_told_and_all_agree(pair: Pair) -> None:
    one = await pair.open(pair.log)
    behind = await pair.open(pair.gate)
    await one.acts.put("v", LIVE, "live", MOD)
    await pair.release()
    await behind.acts.read("v")
    await one.acts.ban("v", "ana", MOD, 0)
    await one.acts.put("v", LIVE, "ended", MOD)
    await behind.released(behind.acts.unban("v", "ana", MOD), pair)
    assert not (await behind.released(behind.acts.put("v", LIVE, "live", MOD), pair)).is_ended
    await one.post("after them")  # read back, so that the first has read all before it
    facts = await one.acts.read("v")
    assert (facts.is_ended, facts.is_banned("ana")) == (False, False)


async def test_what_a_ban_takes_back_is_counted_by_the_clock_that_stamped_it(tmp_path: Path) -> None:
    """The log's clock is ten years away from ours, and a minute passes between two records."""
    async with open_pair(tmp_path) as pair:
        one = await pair.open(ClockedLog(pair.log, lambda offset: 10**12 + offset * 60_000))
        kept, gone = await one.post("a"), await one.post("b")
        await one.acts.ban("v", "ana", MOD, 60)
        shown = one.follower.followed[0].tail.forward("v", 0 + (1 << 40) - 1, 100)
        assert [entry.comment_id for entry in shown if entry.is_shown] == [kept]
        assert gone in {entry.comment_id for entry in shown}


async def test_a_report_is_left_out_as_one_too_many_only_by_what_the_log_says_now(pair: Pair) -> None:
    """The others were dismissed through another gateway, and this one has not read that."""
    one, behind = await pair.open(pair.log), await pair.open(pair.gate)
    rude = await one.post("rude")
    for number in range(OF_COMMENT_MAX):
        await one.reports.report("v", rude, "spam", somebody(number))
    await pair.release()
    await behind.released(behind.reports.report("v", rude, "spam", somebody(98)), pair)
    assert await pair.end() == 1 + OF_COMMENT_MAX
    await one.reports.dismiss("v", rude, MOD)
    await behind.released(behind.reports.report("v", rude, "spam", somebody(99)), pair)
    assert [len(reports) for _, reports in (await one.reports.read_page("v", None, 10, MOD)).reports] == [1]


def somebody(number: int) -> Identity:
    return Identity(Author(f"{number}", ""), frozenset())


CODES: Final = {
    *("video_ended", "banned", "not_allowed_to_comment", "slow_mode", "user_limit", "duplicate_text"),
    *("video_not_found", "message_refused"),
}


ACTS_AFTER: Final[dict[str, Act]] = {
    "ended": lambda acts: acts.put("v", LIVE, "ended", MOD),
    "banned": lambda acts: acts.ban("v", "ana", MOD, 0),
    "members": lambda acts: acts.put("v", LIVE._replace(who_may_comment=MEMBERS), "live", MOD),
    "slow": lambda acts: acts.put("v", LIVE._replace(slow_mode_s=60), "live", MOD),
}


@pytest.mark.parametrize("name", ACTS_AFTER)
async def test_a_retry_is_its_first_copy_whatever_the_store_knows_of_what_was_said_after_it(
    pair: Pair, name: str
) -> None:
    one, behind = await pair.open(pair.log), await pair.open(pair.gate)
    await one.post("before")
    await pair.release()
    first = await one.post("text", "k")
    await ACTS_AFTER[name](one.acts)
    await pair.store_all()
    assert await behind.released(behind.post("text", "k"), pair) == first
    assert await behind.released(behind.post("text", "another key"), pair) in CODES


OPTIONS: Final[dict[str, dict[str, object]]] = {
    "limit": {"limits": AdmissionLimits(user_comments_max=1, user_period_s=60.0)},
    "duplicate text": {"limits": AdmissionLimits(duplicate_text_s=60.0)},
    "registered": {"only_registered": True},
    "words": {"forbidden": ("text",)},
}


@pytest.mark.parametrize("name", OPTIONS)
async def test_a_retry_is_its_first_copy_at_a_gateway_that_refuses_all_others(pair: Pair, name: str) -> None:
    """It refuses before it has read the first copy: it reads on, and looks again."""
    one, behind = await pair.open(pair.log), await pair.open(pair.gate, **OPTIONS[name])
    await one.post("text")
    await pair.release()
    first, end = await one.post("text", "k"), await pair.end()
    pair.calls.clear()
    retrying = asyncio.create_task(behind.post("text", "k"))
    refusing = asyncio.create_task(behind.post("text", "another key"))
    await pair.reads_on(retrying)
    assert not retrying.done()
    await pair.release()
    assert await retrying == first
    assert await refusing in CODES
    assert await pair.end() == end


async def test_a_retry_at_a_gateway_that_cannot_read_on_is_not_refused(pair: Pair) -> None:
    """It may be told later; what is definite is only what the log says."""
    one, behind = await pair.open(pair.log), await pair.open(pair.gate, **OPTIONS["limit"])
    await one.post("before")
    await pair.release()
    first = await one.post("text", "k")
    assert await behind.post("text", None) == "user_limit"  # of what has no key nothing can be there
    with pytest.raises(PartitionUnavailable):
        await behind.posting.post("v", ANA, NewComment("text", key="k"))
    await pair.release()
    assert await behind.post("text", "k") == first


async def test_what_was_allowed_meanwhile_is_written(pair: Pair) -> None:
    """An owner who was answered that the video is live again may write at once, through whichever gateway."""
    one, behind = await pair.open(pair.log), await pair.open(pair.gate)
    await one.acts.put("v", LIVE, "ended", MOD)
    await pair.release()
    assert await behind.post("text") == "video_ended"
    await one.acts.put("v", LIVE, "live", MOD)
    pair.calls.clear()
    assert await behind.released(behind.post("text", "k"), pair) not in CODES
    assert "bounds:done" in pair.calls


async def test_what_the_store_cannot_say_of_a_video_is_not_denied(pair: Pair) -> None:
    one = await pair.open(pair.log)
    await one.acts.put("v", LIVE, "live", MOD)
    await pair.store_all()
    other = await pair.open(pair.log, only_registered=True)
    followed = other.follower.followed[0]
    followed.tail.forget(followed.judged_through)
    pair.store.is_away = True
    assert await other.post("text") == "store_unavailable"
    with pytest.raises(StoreUnavailable):
        await other.acts.read("v")
    with pytest.raises(StoreUnavailable):
        await other.acts.put("v", LIVE, None, MOD)  # which does not say whether it is over
