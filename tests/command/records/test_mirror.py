"""A mirror is the topic that it was made of: its records at their places, and so all ids. What is none is told."""

import random
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.interface import AppendRefused, CommentLog, OffsetUnavailable
from livecomments.sqlite import DurableFile
from livecomments_command.records.copies import copied, copy_of
from livecomments_command.records.mirror import MirroredStore, MirrorLog, MirrorOrigin
from livecomments_command.records.mirrored import Mirrored
from livecomments_command.records.opened import Opened, opened, refuse_open_epoch
from livecomments_command.records.rebuild import rebuild
from livecomments_command.records.replay import replay
from livecomments_command.records.replay_plan import ReplayPlan
from livecomments_command.records.replay_sinks import TopicSink
from livecomments_command.records.scan import scan
from livecomments_command.records.verify import verify
from livecomments_command.settings import ToolSettings
from livecomments_schemas.epochs import Contract
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import HeaderList, NewRecord, Record, headers_of, listed_headers
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from tests.command.installation import PARTITIONS, append, comment, persist
from tests.command.records.test_rebuild import VIDEOS, fill

QUIET = Console(quiet=True)
TOPIC = "comments-1"
ORIGIN = MirrorOrigin(TOPIC, "", Contract(1, PARTITIONS, "", 1))
MIRROR = "mirror"
Damage = Callable[[list[tuple[str, bytes | None]]], object]


@pytest.fixture
async def found(settings: ToolSettings) -> AsyncIterator[Opened]:
    async with opened(settings) as log_and_store:
        await fill(log_and_store, 150)
        yield log_and_store


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[DurableFile]:
    async with DurableFile(tmp_path / "mirror", LOG_TABLES + STORE_TABLES) as made:
        yield made


async def copy_all(found: Opened, mirror: CommentLog, plan: ReplayPlan | None = None) -> None:
    """What `replay --to-topic` does."""
    await replay(found, QUIET, plan or ReplayPlan(), TopicSink(mirror, MIRROR, found.topic))


async def looked_through(mirror: CommentLog, origin: MirrorOrigin = ORIGIN) -> MirrorLog:
    """The mirror as the commands open it."""
    log = MirrorLog(mirror, MIRROR, origin, place_every=4)
    await log.look_through(lambda _: None)
    return log


async def records_of(log: CommentLog) -> list[Record]:
    """All records, partition by partition, without those that nobody can read."""
    held = await log.bounds(range(log.partition_count))
    return [
        one.record
        for number, (start, end) in held.items()
        async for chunk in scan(log, number, start, end, chunk_records=70)
        for one in chunk
        if one.verdict.kind.value != "invalid"
    ]


async def the_mirror(found: Opened, log: CommentLog) -> list[NewRecord]:
    """The copies of partition 0, in their order."""
    end = (await log.bounds([0]))[0].end
    return [copy_of(TOPIC, one) for one in (await log.read(0, 0, end, end)).records]


@pytest.mark.parametrize("partitions", [1, 3, PARTITIONS])
async def test_a_mirror_has_every_record_at_its_place_and_time_however_many_partitions_it_has(
    found: Opened, file: DurableFile, partitions: int
) -> None:
    async with EmbeddedLog(file, MIRROR, 0, partitions) as mirror:
        await copy_all(found, mirror)
        log = await looked_through(mirror)
        expected = await records_of(found.log)
        assert await records_of(log) == expected
        for record in random.Random(partitions).sample(expected, 40):  # and from anywhere
            assert (await log.read(record.partition, record.offset, record.offset + 1, 9)).records == [record]
        assert log.repeated == 0
        assert await log.identity() == ""
        held = await found.log.bounds([0])
        assert log.missing < sum(end for _, end in held.values())


async def test_a_store_that_is_filled_from_the_mirror_is_the_one_that_was_filled_from_the_topic(
    found: Opened, file: DurableFile
) -> None:
    await persist(found)
    async with EmbeddedLog(file, MIRROR, 0, 3) as mirror, EmbeddedStore(file) as store:
        await copy_all(found, mirror)
        log = await looked_through(mirror)
        from_mirror = Opened(TOPIC, log, found.dead_letter_log, MirroredStore(store, log))
        done = await rebuild(from_mirror, QUIET)
        assert done.whole
        assert (await verify(from_mirror, QUIET)).ok
        for video in VIDEOS:
            at = (first_position(1) - 1, first_position(2) - 1, 10_000)
            assert await store.read(video, *at, descending=False) == await found.store.read(
                video, *at, descending=False
            )
        assert (await rebuild(from_mirror, QUIET)).records == 0
        assert (await verify(Opened(TOPIC, found.log, found.dead_letter_log, store), QUIET)).ok


async def test_copies_that_came_again_count_once_wherever_it_was_cut(found: Opened, file: DurableFile) -> None:
    dice = random.Random(4)
    held = await found.log.bounds(range(PARTITIONS))
    expected = await records_of(found.log)
    for turn in range(6):
        async with EmbeddedLog(file, f"{MIRROR}-{turn}", 0, 3) as mirror:
            for number, (_, end) in held.items():
                at = 0
                while at < end:  # as a copier that is killed, and goes on at its checkpoint
                    stop = min(end, at + dice.randrange(1, 12))
                    for record in (await found.log.read(number, at, stop, stop)).records:
                        if record.value != b"{}":
                            await mirror.append(number % 3, copy_of(TOPIC, record))
                    at = stop if stop == end else max(0, stop - dice.choice((0, 0, 1, 3, 9, 200)))
            log = await looked_through(mirror)
            assert log.repeated > 0
            assert [one for one in await records_of(log) if one.value != b"{}"] == [
                one for one in expected if one.value != b"{}"
            ]
            assert any("there twice" in note for note in log.notes())


async def test_a_mirror_that_was_written_twice_as_a_whole_counts_once(found: Opened, file: DurableFile) -> None:
    async with EmbeddedLog(file, MIRROR, 0, 2) as mirror:
        await copy_all(found, mirror)
        once = (await looked_through(mirror)).missing
        await copy_all(found, mirror)
        log = await looked_through(mirror)
        assert log.missing == once
        assert log.repeated == len(await records_of(log))
        assert await records_of(log) == await records_of(found.log)


async def test_what_was_not_copied_is_told_and_what_the_store_has_beyond_it_stays(
    found: Opened, file: DurableFile
) -> None:
    await persist(found)
    async with EmbeddedLog(file, MIRROR, 0, PARTITIONS) as mirror:
        await copy_all(found, mirror, ReplayPlan(video_id=VIDEOS[0]))
        await append(found, [comment(video, 1) for video in VIDEOS])
        await persist(found)
        log = await looked_through(mirror)
        assert len([note for note in log.notes() if "has no copy of it" in note]) == PARTITIONS - 1
        assert any("anything else there is lost" in note for note in log.notes())
        store = MirroredStore(found.store, log)
        assert (await rebuild(Opened(TOPIC, log, found.dead_letter_log, store), QUIET)).records == 0
        assert await store.watermark(2, 0) == BEFORE_EVERYTHING
    assert (await verify(found, QUIET)).ok


async def test_a_mirror_of_several_epochs_gives_the_one_that_is_asked_for(found: Opened, file: DurableFile) -> None:
    async with EmbeddedLog(file, MIRROR, 0, 2) as mirror:
        await copy_all(found, mirror)
        await copy_all(replace(found, topic="comments-2"), mirror)
        log = await looked_through(mirror)
        assert await records_of(log) == await records_of(found.log)
        assert log.passed_over == len(await records_of(log))
        assert any("name each with --epoch" in note for note in log.notes())


async def refusal(
    file: DurableFile, copies: Sequence[NewRecord], origin: MirrorOrigin = ORIGIN, partitions: int = 1
) -> str:
    """What a command says of a mirror with these copies; all but the last in partition 0."""
    async with EmbeddedLog(file, f"{MIRROR}-{secrets.token_hex(4)}", 0, partitions) as mirror:
        for copy in copies[:-1]:
            await mirror.append(0, copy)
        await mirror.append(partitions - 1, copies[-1])
        with pytest.raises(StartRefused) as told:
            await looked_through(mirror, origin)
    return str(told.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda headers: headers.clear(), "has no header origin-topic"),
        (lambda headers: headers.pop(), "has no header origin-appended-at-ms"),
        (lambda headers: headers.__setitem__(-1, ("origin-appended-at-ms", None)), "no header origin-appended-at-ms"),
        (lambda headers: headers.__setitem__(-2, ("origin-offset", b"-1")), "no number that can stand there"),
        (lambda headers: headers.__setitem__(-2, ("origin-offset", b"%d" % 2**40)), "no number that can stand there"),
        (lambda headers: headers.__setitem__(-3, ("origin-partition", b"0x3")), "no number that can stand there"),
        (lambda headers: headers.__setitem__(-3, ("origin-partition", b"")), "no number that can stand there"),
        (lambda headers: headers.__setitem__(-3, ("origin-partition", b"64")), "has partitions 0 to 7"),
        (lambda headers: headers.__setitem__(-4, ("origin-topic", b"theirs")), "of theirs, not of comments-1"),
        (lambda headers: headers.__setitem__(-4, ("origin-topic", b"comments-x")), "of comments-x, not of"),
        (lambda headers: headers.__setitem__(-4, ("origin-topic", b"\xff\x1b[31m")), "not of comments-1"),
    ],
)
async def test_headers_that_are_missing_or_damaged_are_told_with_their_place(
    found: Opened, file: DurableFile, damage: Damage, said: str
) -> None:
    first, second, *_ = await the_mirror(found, found.log)
    headers = list(listed_headers(second.headers))
    damage(headers)
    told = await refusal(file, [first, second._replace(headers=headers_of(headers))])
    assert said in told
    assert "partition 0, offset 1" in told


async def test_what_is_out_of_order_or_of_two_logs_is_refused(found: Opened, file: DurableFile) -> None:
    first, second, third, *_ = await the_mirror(found, found.log)
    assert "out of order" in await refusal(file, [first, third, second])
    assert "two logs in one" in await refusal(file, [first, third, third._replace(value=b'{"other":1}')])
    later = list(listed_headers(second.headers))
    later[-1] = ("origin-appended-at-ms", b"1")
    assert "two logs in one" in await refusal(file, [first, second, second._replace(headers=headers_of(later))])
    assert "others of which lie in partition 0" in await refusal(file, [first, second], partitions=2)


async def test_a_copy_of_a_copy_names_the_last_and_the_rest_stays_in_its_order() -> None:
    headers: HeaderList = [("a", None), ("origin-offset", b"7"), ("a", b""), ("a", b"\xff"), ("origin-topic", b"t")]
    record = Record(3, 9, b"video", b"{}", headers_of(headers), 12)
    new = copy_of(TOPIC, record)
    assert copied(Record(0, 0, *new, 99)) == (TOPIC, record)
    again = copied(Record(0, 0, *new, 99)).record
    assert listed_headers(again.headers) == tuple(headers)


async def test_a_mirror_is_read_and_nothing_else(found: Opened, file: DurableFile) -> None:
    async with EmbeddedLog(file, MIRROR, 0, 1) as mirror:
        await copy_all(found, mirror)
        log = await looked_through(mirror)
        end = (await log.bounds([0]))[0].end
        assert await log.answering([0, 1]) == {0, 1}
        assert (await log.read(0, end, end + 5, 5)) == ([], end)
        with pytest.raises(OffsetUnavailable, match="holds offsets"):
            await log.read(0, end + 1, end + 5, 5)
        with pytest.raises(AppendRefused):
            await log.append(0, comment("video", 1))
        with pytest.raises(StartRefused, match="not followed"):
            log.follow()


async def test_a_command_refuses_a_mirror_where_it_would_do_harm(settings: ToolSettings) -> None:
    with pytest.raises(StartRefused, match=r"Epoch 1 is open.*--epoch 1"):
        await refuse_open_epoch(settings, None)
    with pytest.raises(StartRefused, match="LIVECOMMENTS_KAFKA"):
        async with opened(settings, mirror=Mirrored(MIRROR, QUIET)):
            pass
    with pytest.raises(StartRefused, match="our own topics"):
        async with Mirrored(TOPIC, QUIET).opened(settings, ORIGIN):
            pass
