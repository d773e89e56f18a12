"""Two gateways over a log that lags, loses answers and writes late, with acts, restarts and a store in whatever state:
each answer agrees with the log, as somebody judges it who has read all of it. By seeds."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from livecomments.log.interface import AppendUnavailable, AppendUnknown, CommentLog
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.facts import VideoFacts
from livecomments_gateway.identity import Identity
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import FACT_TYPES, Author, NewRecord, Record
from livecomments_schemas.judge import Kind, judge
from livecomments_schemas.positions import offset_of, parse_comment_id, position_at
from livecomments_schemas.window import Window
from tests.gateway.test_acts import LIVE, MOD, Gateway, Pair, open_pair
from tests.log.contract import WAIT_S
from tests.log.faults import GatedLog

SEEDS: Final = range(40)
STEPS: Final = 80
KEYS: Final = 6
PEOPLE: Final = {
    name: Identity(Author(name, name.title()), frozenset(), session_ends_at=2**40) for name in ("ana", "bob")
}
REFUSED: Final = frozenset(("video_ended", "banned", "user_limit"))


Asked = set[asyncio.Future[Any]]
"""What was asked of gateways, and is not answered yet."""


class Adversary(GatedLog):
    """A log that one gateway hears of late, and whose appends come out as the dice say, while they are thrown."""

    def __init__(self, inner: CommentLog, dice: random.Random) -> None:
        super().__init__(inner)
        self.dice: random.Random | None = dice
        self.late: list[NewRecord] = []
        """Said to be unknown, and not written yet."""

    async def append(self, partition: int, record: NewRecord) -> int:
        outcome = self.dice.random() if self.dice else 1.0
        if outcome < 0.1:
            raise AppendUnavailable("not taken")
        if outcome < 0.2:
            self.late.append(record)
            raise AppendUnknown("no answer yet")
        offset = await self.inner.append(partition, record)
        if outcome < 0.35:
            raise AppendUnknown("the answer was lost")
        return offset


class Truth:
    """The log, judged by somebody who has read all of it."""

    def __init__(self, records: list[Record]) -> None:
        window = Window(1, 0, 1, since=0, whole=True)
        self.records = records
        self.verdicts = [judge(record, window) for record in records]
        self.deleted = {verdict.target for verdict in self.verdicts if verdict.target}

    def copies(self, who: str, key: str, kind: Kind) -> list[int]:
        """The offsets of this person's comments with this key of which the verdict is such."""
        return [
            record.offset
            for record, verdict in zip(self.records, self.verdicts, strict=True)
            if (record.headers.get("author"), record.headers.get("key")) == (who.encode(), key.encode())
            and verdict.kind is kind
        ]

    def first_copy(self, who: str, key: str) -> int | None:
        """The offset of the accepted comment of this person with this key."""
        return next(iter(self.copies(who, key, Kind.ACCEPTED)), None)

    def is_void(self, who: str, key: str) -> bool:
        """The first comment with this key came after the end: its retries are refused as it was."""
        return bool(self.copies(who, key, Kind.VOID))

    def facts(self, end: int) -> VideoFacts:
        """What was said of the video in the records before `end`."""
        facts = VideoFacts()
        for record, verdict in zip(self.records[:end], self.verdicts, strict=False):
            if verdict.kind is Kind.ACCEPTED and record.headers["type"] in FACT_TYPES:
                facts.hear(record.headers["type"], position_at(1, record.offset), record.value or b"")
        return facts


class Model:
    """What was asked and answered. `wrong` says what disagrees with the log in the end."""

    def __init__(self, pair: Pair, seed: int) -> None:
        self.pair = pair
        self.dice = random.Random(seed)
        self.gates: list[Adversary] = []
        self.gateways: list[Gateway] = []
        self.following: list[asyncio.Task[None]] = []
        self.posts: list[tuple[str, str, int, int, str]] = []
        """Who, key, where the log ended before and after, and the comment's id or the refusal's code."""
        self.acts: list[tuple[str, int, int]] = []
        """Those that were answered, with the log's end before and after."""
        self.seen: set[str] = set()
        """Codes of answers, and what else happened."""

    async def open(self, at: int) -> None:
        """Start a gateway, or one more in its place."""
        gate = Adversary(self.pair.log, self.dice)
        options = (
            {"limits": AdmissionLimits(user_comments_max=3, user_period_s=60.0)} if self.dice.random() < 0.3 else {}
        )
        gateway = await self.pair.open(gate, **options)
        if at < len(self.gates):
            self.following[at].cancel()
            for record in self.gates[at].late:  # what a process that died had handed over
                await self.pair.log.append(0, record)
            self.seen.add("restart")
        self.gates[at:] = [gate, *self.gates[at + 1 :]]
        self.gateways[at:] = [gateway, *self.gateways[at + 1 :]]
        self.following[at:] = [self.pair.running[-1], *self.following[at + 1 :]]

    async def post(self, gateway: Gateway, who: str, key: str) -> str:
        before = await self.pair.end()
        answer = await gateway.post(f"text of {key}", key, PEOPLE[who])
        self.posts.append((who, key, before, await self.pair.end(), answer))
        self.seen.add(answer if len(answer) != 16 else "created")
        return answer

    async def act(self, name: str, call: Callable[[], Awaitable[object]]) -> None:
        before = await self.pair.end()
        try:
            await call()
        except (Rejected, Unavailable) as refused:
            self.seen.add(refused.code)
        else:
            self.acts.append((name, before, await self.pair.end()))

    def step(self) -> Awaitable[object] | None:
        """Something that somebody asks of one gateway, or that happens."""
        dice, at = self.dice, self.dice.randrange(2)
        gateway, gate = self.gateways[at], self.gates[at]
        who, key = dice.choice(list(PEOPLE)), f"k{dice.randrange(KEYS)}"
        what = dice.random()
        if what < 0.5:
            return self.post(gateway, who, key)
        if what < 0.6:
            gate.release(gate.released + dice.randrange(1, 6))
            return None
        if what < 0.65 and gate.late:
            return self.pair.log.append(0, gate.late.pop(0))
        if what < 0.7:
            return self.pair.store_all()
        if what < 0.72:
            self.pair.store.is_away = not self.pair.store.is_away
            return None
        if what < 0.75 and (created := [answer for *_, answer in self.posts if len(answer) == 16]):
            return self.act("delete", lambda: gateway.posting.delete("v", dice.choice(created), MOD))
        acts = gateway.acts
        if what < 0.85:
            state = dice.choice(("live", "ended"))
            return self.act(f"video.{state}", lambda: acts.put("v", LIVE, state, MOD))
        if what < 0.95:
            return self.act("user.banned", lambda: acts.ban("v", who, MOD, 0))
        return self.act("user.unbanned", lambda: acts.unban("v", who, MOD))

    async def run(self) -> None:
        """Let it all happen, then end well: all is heard, and whatever was posted is posted again everywhere."""
        for at in (0, 1):
            await self.open(at)
        asked: Asked = set()
        for _ in range(STEPS):
            if (step := self.step()) is not None:
                asked.add(asyncio.ensure_future(step))
            if self.dice.random() < 0.03:
                await self.open(self.dice.randrange(2))
            for _ in range(self.dice.randrange(4)):
                await asyncio.sleep(0)
            asked = await self.settle(asked, down_to=6)
        await self.settle(asked, down_to=0)
        self.pair.store.is_away = False
        for gate in self.gates:
            gate.dice = None
            for record in gate.late:
                await self.pair.log.append(0, record)
        for gate in self.gates:
            gate.release(1 << 40)
        last = position_at(1, await self.pair.end() - 1)
        for gateway in self.gateways:
            await gateway.follower.followed[0].reach(last, WAIT_S)
            async with asyncio.timeout(WAIT_S):  # what could not be read while the store was away is read again
                while not (await gateway.posting.videos.facts("v")).is_whole:  # noqa: ASYNC110 - no event says so
                    await asyncio.sleep(0.05)

    async def settle(self, asked: "Asked", down_to: int) -> "Asked":
        """Wait until no more than so many are unanswered; what they wait for is heard, little by little."""
        async with asyncio.timeout(WAIT_S):
            while len(asked) > down_to:
                for gate in self.gates:
                    gate.release(min(gate.released + 1, await self.pair.end()))
                done, asked = await asyncio.wait(asked, timeout=0.001)
                for one in done:
                    one.result()
        return asked

    async def wrong(self) -> list[str]:
        """What disagrees with the log. Afterwards the log has grown by the retries of all that was posted."""
        truth = await self.truth()
        end, found = len(truth.records), list[str]()
        for at, gateway in enumerate(self.gateways):
            facts, said = await gateway.posting.videos.facts("v"), truth.facts(end)
            now = (facts.is_ended, [facts.is_banned(who) for who in PEOPLE])
            if now != (said.is_ended, [said.is_banned(who) for who in PEOPLE]):
                found.append(f"gateway {at} knows of {now}")
            for who, key in {(who, key) for who, key, *_ in self.posts}:
                if truth.first_copy(who, key) is not None:
                    await self.settle({asyncio.ensure_future(self.post(gateway, who, key))}, down_to=0)
        truth = await self.truth()
        for who, key, before, after, answer in self.posts:
            for why in self.faults(truth, who, key, before, after, answer):
                found.append(f"{who} {key} at {before} to {after}: {answer} {why}")
        for name, before, after in self.acts:
            if not self.is_said(truth, name, before, after):
                found.append(f"{name} was answered, and is not in the log")
        return found

    def faults(self, truth: Truth, who: str, key: str, before: int, after: int, answer: str) -> list[str]:
        """What is wrong with the answer to one post."""
        copy = truth.first_copy(who, key)
        if len(answer) == 16:
            position, _ = parse_comment_id(answer)
            return [] if offset_of(position) == copy else [f"is not the first copy, {copy}"]
        if answer == "comment_deleted":
            return [] if copy is not None and position_at(1, copy) in truth.deleted else ["but it stands"]
        if answer not in REFUSED:
            return (
                [] if answer in ("append_unknown", "overloaded", "log_unavailable", "store_unavailable") else ["why?"]
            )
        if copy is not None and copy < before:
            return [f"but its first copy stands at {copy}"]
        known = [truth.facts(end) for end in range(before, after + 1)]
        if answer == "video_ended" and not (any(facts.is_ended for facts in known) or truth.is_void(who, key)):
            return ["but it was live"]
        if answer == "banned" and not any(facts.is_banned(who) for facts in known):
            return ["but nobody said so"]
        return []

    def is_said(self, truth: Truth, name: str, before: int, after: int) -> bool:
        """Whether an act that was answered is in the log, where it can have been appended."""
        if name == "delete":
            return bool(truth.deleted)
        kind = {"video.live": "video.started"}.get(name, name).encode()
        return any(record.headers["type"] == kind for record in truth.records[before:after])

    async def truth(self) -> Truth:
        return Truth(list((await self.pair.log.read(0, 0, 1 << 40, 1 << 20)).records))


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_answer_agrees_with_the_log(tmp_path: Path, seed: int) -> None:
    async with open_pair(tmp_path) as pair:
        model = Model(pair, seed)
        await model.run()
        assert await model.wrong() == []


async def test_the_model_meets_what_it_is_about(tmp_path: Path) -> None:
    seen: set[str] = set()
    for seed in SEEDS[:8]:
        async with open_pair(tmp_path / str(seed)) as pair:
            model = Model(pair, seed)
            await model.run()
            seen |= model.seen
    assert {"created", "video_ended", "banned", "append_unknown", "restart"} <= seen
