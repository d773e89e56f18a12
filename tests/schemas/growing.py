"""A model of how an epoch grows into the next: gateways, coordinators and readers on a log that is late and forgetful.

Gateways and coordinators go by the real `judge`, `Window` and fold of epochs, and take one small step at a time, in any
order. Appends land late, come to nothing, or are never confirmed; coordinators die between any two steps and others go
on, two at once as well.
"""

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import Final, NamedTuple

from livecomments_schemas.epochs import NO_EPOCHS, Contract, Epoch, Epochs, epoch_closed, epoch_opened
from livecomments_schemas.events import EPOCH_FENCE, NewRecord, Record, epoch_event, is_fence
from livecomments_schemas.judge import FENCED, Kind, Verdict, judge
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import position_at
from livecomments_schemas.window import Window

from .records import comment

PARTITIONS: Final = 2
GROWTH: Final = 2
GROWTHS_MAX: Final = 2
GATEWAYS: Final = 3
VIDEOS: Final = ("launch", "match", "quiz", "news")
KEYS: Final = 12
STEPS: Final = 700
SETTLING: Final = 1_500

Place = tuple[int, int]
"""Epoch and partition."""


class Plants(NamedTuple):
    """What is done wrong on purpose."""

    ignores_fences: bool = False
    """Gateways take what lies behind a fence for written."""
    moves_early: bool = False
    """Gateways write to the next epoch before they have read the one before to its end."""
    checks_once: bool = False
    """What was fenced is appended again without looking for another copy of it."""
    opens_early: bool = False
    """A coordinator opens the next epoch with a partition that has no fence."""


class Post:
    """One try of a client's, with a key. `answer` is a position once it is answered with a comment."""

    def __init__(self, video_id: str, key: str) -> None:
        self.video_id = video_id
        self.key = key
        self.place: Place | None = None
        self.offset: int | None = None
        self.is_lost = False
        """The gateway hears nothing of its append: unknown."""
        self.was_fenced = False
        self.answer: int | None = None


class Log:
    """All topics. What is appended lands later, in any order but that of one writer's batch, or never."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.told: list[Record] = []
        self.epochs = NO_EPOCHS
        self.records: defaultdict[Place, list[Record]] = defaultdict(list)
        self.under_way: list[tuple[Place, NewRecord, Post | None]] = []
        self.stored: defaultdict[Place, int] = defaultdict(int)

    def say(self, said: NewRecord) -> None:
        record = Record(0, len(self.told), *said, len(self.told))
        self.told.append(record)
        self.epochs = self.epochs.after(record)

    def land(self) -> None:
        if not self.under_way:
            return
        place, new, post = self.under_way.pop(self.dice.randrange(len(self.under_way)))
        if post is not None and self.dice.random() < 0.1:
            post.is_lost = True  # it never comes to anything
            return
        offset = len(self.records[place])
        self.records[place].append(Record(place[1], offset, *new, 0))
        if post is not None and self.dice.random() < 0.2:
            post.is_lost = True  # it is written, and nobody hears of it
        elif post is not None:
            post.offset = offset

    def fence_of(self, place: Place) -> int | None:
        return next((one.offset for one in self.records[place] if is_fence(one, place[0])), None)


class Reader:
    """Somebody who has read the epochs and each partition to wherever."""

    def __init__(self, log: Log, plants: Plants) -> None:
        self.log = log
        self.plants = plants
        self.epochs = NO_EPOCHS
        self.told = 0
        self.windows: dict[Place, Window] = {}
        self.verdicts: defaultdict[Place, list[Verdict]] = defaultdict(list)

    def hear(self, count: int) -> None:
        for record in self.log.told[self.told : self.told + count]:
            self.epochs = self.epochs.after(record)
            self.told += 1

    def window(self, place: Place) -> Window:
        if place not in self.windows:
            count = self.epochs.counts[place[0]]
            self.windows[place] = Window(*place, count, since=0, whole=True)
        return self.windows[place]

    def read(self, place: Place, count: int) -> None:
        verdicts, window = self.verdicts[place], self.window(place)
        for record in self.log.records[place][len(verdicts) : len(verdicts) + count]:
            if self.plants.ignores_fences:
                window.fence = None
            verdicts.append(judge(record, window))

    def places(self, epoch: int) -> list[Place]:
        return [(epoch, number) for number in range(self.epochs.counts[epoch])]


class Gateway(Reader):
    """Serves one epoch at a time; goes on to the next once it is open and all of this one is read to its fences."""

    def __init__(self, log: Log, plants: Plants) -> None:
        super().__init__(log, plants)
        self.hear(len(log.told))
        assert self.epochs.newest is not None
        self.epoch = self.epochs.newest.number
        self.posts: list[Post] = []
        for past in range(1, self.epoch):  # of a parent the window is read back, so that retries find their first copy
            for place in self.places(past):
                self.read(place, len(log.records[place]))

    def move_on(self) -> None:
        newest = self.epochs.newest
        if newest is None or newest.number == self.epoch:
            return
        is_read = all(self.window(place).fence is not None for place in self.places(self.epoch))
        if is_read or self.plants.moves_early or self.plants.ignores_fences or self.plants.opens_early:
            self.epoch += 1

    def step(self, post: Post) -> None:
        """Take one step of a post: look for its first copy and append, or answer by the verdict."""
        if post.place is None:
            place = self.epoch, partition_of(post.video_id, self.epochs.counts[self.epoch])
            if self.window(place).fence is not None:
                return  # held
            found = None if self.plants.checks_once and post.was_fenced else self.first_copy(post)
            if found is not None:
                post.answer = found
                return
            post.place = place
            self.log.under_way.append((place, comment(post.video_id, post.key, key=post.key), post))
        elif post.offset is not None and post.offset < len(self.verdicts[post.place]):
            verdict = self.verdicts[post.place][post.offset]
            if verdict == FENCED:
                post.place, post.offset, post.was_fenced = None, None, True
            else:
                survivor = post.offset if verdict.survivor is None else verdict.survivor.survivor
                post.answer = position_at(post.place[0], survivor)

    def first_copy(self, post: Post) -> int | None:
        for epoch in range(self.epoch, 0, -1):
            place = epoch, partition_of(post.video_id, self.epochs.counts[epoch])
            key, end = post.key.encode(), len(self.log.records[place]) + 1
            found = self.window(place).occurrence(post.video_id, b"ana", key, end)
            if found is not None:
                return position_at(epoch, found.survivor)
        return None


class Coordinator:
    """Does the next step that is due, by what the log says; whoever takes over does the same."""

    def __init__(self, log: Log, plants: Plants) -> None:
        self.log = log
        self.plants = plants

    def step(self) -> None:
        newest = self.log.epochs.newest
        assert newest is not None
        if newest.is_closed:
            if all(self.log.stored[newest.number, n] > fence for n, fence in enumerate(newest.fences)):
                self.log.say(epoch_opened(contract(newest.number + 1)))
        elif newest.number <= GROWTHS_MAX:
            self.fence(newest)

    def fence(self, newest: Epoch) -> None:
        places = [(newest.number, number) for number in range(newest.contract.partitions)]
        fences = [self.log.fence_of(place) for place in places]
        missing = [place for place, fence in zip(places, fences, strict=True) if fence is None]
        if missing and not (self.plants.opens_early and len(missing) < len(places)):
            place = self.log.dice.choice(missing)
            self.log.under_way.append((place, epoch_event(EPOCH_FENCE, newest.number), None))
            return
        self.log.say(epoch_closed(newest.number, "it grew", [fence or 0 for fence in fences]))


class World:
    """All of them, by one seed. `play` returns what came out wrong, in words."""

    def __init__(self, seed: int, plants: Plants) -> None:
        self.dice = random.Random(seed)
        self.plants = plants
        self.log = Log(self.dice)
        self.log.say(epoch_opened(contract(1)))
        self.gateways = [Gateway(self.log, plants) for _ in range(GATEWAYS)]
        self.coordinators = [Coordinator(self.log, plants)]
        self.answers: list[tuple[Post, int]] = []

    def play(self) -> list[str]:
        for step in range(STEPS + SETTLING):
            self.step(is_settling=step >= STEPS)
        return [*self.wrong_answers(), *self.doubles(), *self.wrong_ends()]

    def step(self, *, is_settling: bool) -> None:
        dice, log = self.dice, self.log
        gateway = dice.choice(self.gateways)
        what = dice.random()
        if what < 0.2 and not is_settling:
            gateway.posts.append(Post(dice.choice(VIDEOS), f"key{dice.randrange(KEYS)}"))
        elif what < 0.3:
            gateway.hear(1)
            gateway.move_on()
        elif what < 0.5:
            gateway.read(dice.choice(gateway.places(gateway.epoch)), dice.randint(1, 5))
            gateway.move_on()
        elif what < 0.55 and self.coordinators:
            dice.choice(self.coordinators).step()
        elif what < 0.57 and len(self.coordinators) < 2:
            self.coordinators.append(Coordinator(log, self.plants))
        elif what < 0.58 and self.coordinators and not is_settling:
            self.coordinators.pop()
        elif what < 0.6:
            places = [place for place in log.records if log.stored[place] < len(log.records[place])]
            if places:
                log.stored[dice.choice(places)] += dice.randint(1, 10)
        elif what < 0.8:
            log.land()
        elif gateway.posts:
            self.go_on(gateway, dice.choice(gateway.posts))

    def go_on(self, gateway: Gateway, post: Post) -> None:
        gateway.step(post)
        if post.answer is not None:
            self.answers.append((post, post.answer))
        if post.answer is not None or post.is_lost:
            gateway.posts.remove(post)

    def judged(self) -> dict[int, str]:
        """The accepted comments of all epochs, by their positions, as somebody judges them who has read all."""
        accepted, everything = {}, Reader(self.log, Plants())
        everything.hear(len(self.log.told))
        for place, records in self.log.records.items():
            if place[0] in everything.epochs.counts:
                everything.read(place, len(records))
                for record, verdict in zip(records, everything.verdicts[place], strict=True):
                    if verdict.kind is Kind.ACCEPTED:
                        assert record.key is not None
                        key = f"{record.key.decode()} {record.headers['key'].decode()}"
                        accepted[position_at(place[0], record.offset) << 24 | place[1]] = key
        return accepted

    def wrong_answers(self) -> list[str]:
        wrong, accepted = [], self.judged()
        for post, position in self.answers:
            partition = partition_of(post.video_id, self.log.epochs.counts[position >> 40])
            if accepted.get(position << 24 | partition) != f"{post.video_id} {post.key}":
                wrong.append(f"answered with what is no comment: {post.video_id} {post.key}")
        return wrong

    def doubles(self) -> list[str]:
        keys = list(self.judged().values())
        return [f"two comments: {key}" for key in sorted(set(keys)) if keys.count(key) > 1]

    def wrong_ends(self) -> list[str]:
        """An epoch ends where the topic of epochs says: there whoever begins more than a window behind it stops."""
        wrong = []
        for epoch in self.log.epochs.known[:-1]:
            for number, fence in enumerate(epoch.fences):
                first = self.log.fence_of((epoch.number, number))
                if fence != first:
                    wrong.append(f"epoch {epoch.number} is said to end at {fence}, and ends at {first}")
        return wrong

    def ends(self) -> Epochs:
        return self.log.epochs


def contract(epoch: int) -> Contract:
    return Contract(epoch, PARTITIONS * GROWTH ** (epoch - 1), "id", 3)


def wrong_of(seeds: Sequence[int], plants: Plants) -> list[str]:
    """What comes out wrong with these seeds."""
    return [f"seed {seed}: {wrong}" for seed in seeds for wrong in World(seed, plants).play()]
