"""The clean topic, as compaction keeps it, is what readers see: whatever is read when, wherever jobs were killed."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest

from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import EmbeddedStore
from livecomments.log.interface import AppendUnavailable, AppendUnknown, CommentLog
from livecomments.log.topics import clean_topic, comments_topic
from livecomments.sqlite import DurableFile
from livecomments_command.deriving.clean import AnotherWrites, Clean
from livecomments_command.deriving.comparing import ELSEWHERE, NO_ID, NOT_CLEANED, verify_clean
from livecomments_command.deriving.sources import Until
from livecomments_command.records.opened import Opened
from livecomments_command.records.verify import NOT_DELETED, NOT_IN_LOG, OTHER
from livecomments_schemas.epochs import Contract
from livecomments_schemas.errors import EXIT_TRY_AGAIN, StartRefused, leaves_of
from livecomments_schemas.events import COMMENT_CREATED, NewRecord, Record, comment_deleted
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, offset_of, parse_comment_id, position_at
from livecomments_schemas.render import render_comment
from tests.command.deriving.grown import NEW, OLD, VIDEOS, Grown, grown, is_accepted, is_current_at_the_end_alone
from tests.command.installation import comment
from tests.command.records.test_verify import QUIET
from tests.log.faults import Around, WatchedLog, nothing

TO_THE_END = Until(None)
PARTITIONS = {1: OLD, 2: NEW}


class Topics:
    """Clean topics in the same file; `around` is awaited at every call to one."""

    def __init__(self, file: DurableFile, around: Around = nothing) -> None:
        self._file = file
        self._around = around
        self.opened: dict[int, EmbeddedLog] = {}
        self.watched: dict[int, WatchedLog] = {}

    def log_topic(self, epoch: int) -> str:
        return comments_topic(epoch)

    @asynccontextmanager
    async def clean(self, contract: Contract) -> AsyncIterator[CommentLog]:
        name = clean_topic(contract.epoch)
        async with EmbeddedLog(self._file, name, contract.epoch, contract.partitions) as log:
            self.opened[contract.epoch] = log
            self.watched[contract.epoch] = WatchedLog(log, self._around)
            yield self.watched[contract.epoch]

    async def kept(self) -> dict[str, bytes]:
        """All of them as compaction keeps them: by key, the last value that is one."""
        kept: dict[str, bytes] = {}
        for record in await self.records():
            assert record.key is not None
            if record.value is None:
                kept.pop(record.key.decode(), None)
            else:
                kept[record.key.decode()] = record.value
        return kept

    async def records(self) -> list[Record]:
        """All that was ever written, partition by partition, epoch by epoch."""
        found = []
        for epoch, count in PARTITIONS.items():
            async with EmbeddedLog(self._file, clean_topic(epoch), epoch, count) as log:
                for number, held in (await log.bounds(range(count))).items():
                    following = 0
                    while following < held.end:
                        records, following = await log.read(number, following, held.end, 1_000)
                        found += records
        return found


async def expected(source: Grown) -> dict[str, bytes]:
    """What a loop over all records leaves to be seen."""
    seen: dict[tuple[str, str], bytes] = {}
    judged = await source.judged()
    for epoch, record, verdict in judged:
        if is_accepted(verdict) and record.headers["type"] == COMMENT_CREATED:
            own_id = comment_id(position_at(epoch, record.offset), record.partition)
            seen[verdict.video_id, own_id] = render_comment(own_id, record.value or b"")
    for _, record, verdict in judged:
        if is_accepted(verdict) and verdict.target:
            seen.pop((verdict.video_id, orjson.loads(record.value or b"")["commentId"]), None)
    return {own_id: value for (_, own_id), value in seen.items()}


class Killed(Exception):
    """The process ends here."""


def dying(appends: int) -> Around:
    """Kill whoever appends so often."""
    left = appends

    async def around(what: str) -> None:
        nonlocal left
        left -= what == "append"
        if left < 0:
            raise Killed

    return around


@pytest.mark.parametrize("seed", range(8))
async def test_it_is_what_readers_see_however_often_the_job_was_killed(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    async with grown(tmp_path) as (source, file):
        for turn in range(6):
            if turn == 3:
                await source.end_epoch()
                old = [one for one in await source.judged() if one[2].video_id == VIDEOS[0]][:4]
                ids = [comment_id(position_at(1, record.offset), record.partition) for _, record, _ in old]
                await source.say(comment_deleted(VIDEOS[0], one, "mod") for one in ids)  # of the epoch that is over
            await source.chat(dice, dice.randrange(120))
            try:
                await Clean(source, Topics(file, dying(dice.randrange(1, 90))), TO_THE_END).run()
            except* Killed:
                pass
        topics = Topics(file)
        await Clean(source, topics, TO_THE_END).run()
        assert await topics.kept() == await expected(source)


async def test_it_is_current_once_the_newest_epoch_is_read_too(tmp_path: Path) -> None:
    """Whoever was down while the log grew has an epoch to read after the one that it goes on in."""
    async with grown(tmp_path) as (source, file):
        topics = Topics(file)
        await source.chat(random.Random(1), 30)
        await source.end_epoch()
        await source.chat(random.Random(2), 30)
        await is_current_at_the_end_alone(Clean(source, topics, TO_THE_END), source)


async def test_an_epoch_that_is_over_and_clean_is_not_written_again(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file):
        topics = Topics(file)
        ((partition, offset),) = await source.say([comment(VIDEOS[0], 1)])
        await source.end_epoch()
        gone = comment_deleted(VIDEOS[0], comment_id(position_at(1, offset), partition), "mod")
        await source.say([gone, comment(VIDEOS[0], 2)])
        for _ in range(2):  # or the comment would be there again until its delete is
            await Clean(source, topics, TO_THE_END).run()
            said = [one for one in await topics.records() if one.key == gone_key(partition, offset)]
            assert [one.value is None for one in said[:2]] == [False, True]
            assert all(one.value is None for one in said[1:])
        assert await topics.kept() == await expected(source)


def gone_key(partition: int, offset: int) -> bytes:
    """The key of a comment of the first epoch."""
    return comment_id(position_at(1, offset), partition).encode()


async def test_a_hole_that_a_killed_job_left_in_its_last_wave_is_filled(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file):
        await source.say([comment(video, number) for number in range(5) for video in VIDEOS])
        fails = iter([False, False, True])

        async def around(what: str) -> None:
            if what == "append" and next(fails, False):
                raise Killed

        try:
            await Clean(source, Topics(file, around), TO_THE_END).run()
        except* Killed:
            pass
        topics = Topics(file)
        behind = len(await topics.kept())
        assert 2 < behind < len(await expected(source))  # others of the wave came through
        await Clean(source, topics, TO_THE_END).run()
        assert await topics.kept() == await expected(source)


async def test_each_record_says_where_it_is_from_and_a_video_keeps_its_order(tmp_path: Path) -> None:
    async with grown(tmp_path) as (source, file):
        places = await source.say([comment(video, number) for number in range(30) for video in VIDEOS])
        topics = Topics(file)
        await Clean(source, topics, TO_THE_END).run()
        records = await topics.records()
        assert sorted((one.partition, int(one.headers["origin-offset"])) for one in records) == sorted(places)
        for one in records:
            assert one.headers["origin-topic"] == b"comments-1"
            assert int(one.headers["origin-partition"]) == one.partition
            said = orjson.loads(one.value or b"")
            assert said["commentId"].encode() == one.key
            assert one.partition == partition_of(said["videoId"], OLD)
        for number in range(OLD):
            offsets = [int(one.headers["origin-offset"]) for one in records if one.partition == number]
            assert offsets == sorted(offsets)


async def test_another_videos_delete_removes_nothing(tmp_path: Path) -> None:
    home = partition_of(VIDEOS[0], OLD)
    other = next(video for video in VIDEOS[1:] if partition_of(video, OLD) == home)
    async with grown(tmp_path) as (source, file):
        topics = Topics(file)
        ((partition, offset),) = await source.say([comment(VIDEOS[0], 1)])
        target = comment_id(position_at(1, offset), partition)
        await Clean(source, topics, TO_THE_END).run()
        await source.say([comment_deleted(other, target, "mod")])
        await Clean(source, topics, TO_THE_END).run()
        assert list(await topics.kept()) == [target]
        await source.say([comment_deleted(VIDEOS[0], target, "mod")])
        await Clean(source, topics, TO_THE_END).run()
        assert await topics.kept() == {}


@pytest.mark.parametrize("error", [AppendUnavailable("no"), AppendUnknown("maybe")])
async def test_what_was_not_taken_is_written_again_in_its_order(tmp_path: Path, error: Exception) -> None:
    dice = random.Random(5)
    async with grown(tmp_path) as (source, file):
        await source.chat(dice, 60)
        fails = iter([False] * 7 + [True] + [False] * 9 + [True])

        async def around(what: str) -> None:
            at = "append" if isinstance(error, AppendUnavailable) else "append:done"
            if what == at and next(fails, False):
                raise error

        await Clean(source, Topics(file, around), TO_THE_END).run()
        assert await Topics(file).kept() == await expected(source)


@pytest.mark.parametrize("fails", [False, True], ids=["between two waves", "as appends fail"])
async def test_a_clean_topic_made_anew_is_written_no_more(tmp_path: Path, fails: bool) -> None:
    """It would lack what the one before held, and whoever goes on from its end would not know."""
    async with grown(tmp_path) as (source, file):
        await source.chat(random.Random(7), 150)
        after: list[str] = []

        async def around(what: str) -> None:
            topic = topics.watched[1]
            if topic.generation:
                after.append(what)
            elif what == "append:done":
                topic.generation = "made anew"
                if fails:
                    raise AppendUnavailable("no such topic")

        topics = Topics(file, around)
        try:
            await Clean(source, topics, TO_THE_END).run()
        except* StartRefused as ended:
            (error,) = leaves_of(ended)
            assert "The clean topic of epoch 1 was made anew while it was written." in str(error)
        else:
            pytest.fail("it did not notice")
        assert after[-1] == "identity"  # asked, and nothing done behind it


async def test_two_jobs_notice_each_other_and_whoever_goes_on_mends_it(tmp_path: Path) -> None:
    dice = random.Random(6)
    async with grown(tmp_path) as (source, file):
        await source.chat(dice, 150)
        is_begun = False

        async def around(what: str) -> None:
            nonlocal is_begun
            if what == "append" and not is_begun:
                is_begun = True
                for number in range(OLD):
                    await shared.opened[1].append(number, comment(VIDEOS[0], 1))

        shared, plain = Topics(file, around), Topics(file)
        try:
            await Clean(source, shared, TO_THE_END).run()
        except* AnotherWrites as ended:
            (error,) = leaves_of(ended)
            assert isinstance(error, AnotherWrites)
            assert error.exit_code == EXIT_TRY_AGAIN
        else:
            pytest.fail("it did not notice")
        await Clean(source, plain, TO_THE_END).run()
        kept = await plain.kept()
        del kept[VIDEOS[0]]
        assert kept == await expected(source)


@asynccontextmanager
async def cleaned(tmp_path: Path) -> AsyncIterator[tuple[Grown, "Topics", Opened, CommentLog]]:
    """A log that was cleaned, its clean topics, what a comparison looks at beside them, and that of the old epoch."""
    async with grown(tmp_path) as (source, file), EmbeddedStore(file) as store:
        await source.chat(random.Random(7), 120)
        topics = Topics(file)
        await Clean(source, topics, TO_THE_END).run()
        found = Opened(comments_topic(1), source.old, source.new, store)  # dead letters are not looked at
        async with topics.clean(Contract(1, OLD, "", 1)) as clean:
            yield source, topics, found, clean


async def test_a_comparison_with_the_log_finds_what_is_wrong(tmp_path: Path) -> None:
    async with cleaned(tmp_path) as (source, topics, found, clean):
        findings = await verify_clean(found, QUIET, clean)
        assert findings.ok, findings.shown
        assert findings.rows == len(await expected(source))
        last = (await topics.records())[0]
        assert last.key is not None
        gone, other = sorted(key for key in await topics.kept() if key[13:] == last.key.decode()[13:])[:2]
        home = last.partition
        headers = dict(last.headers) | {"origin-offset": b"0"}
        await clean.append(home, NewRecord(gone.encode(), None, headers))  # type: ignore[arg-type]  # as the job does
        await clean.append(home, NewRecord(other.encode(), b"{}", headers))
        removed = next(one.key for one in await topics.records() if one.value is None and one.partition == home)
        await clean.append(home, NewRecord(removed or b"", b"{}", headers))
        findings = await verify_clean(found, QUIET, clean)
        assert sorted(findings.counts) == sorted((NOT_CLEANED, NOT_DELETED, OTHER)), findings.shown


@pytest.mark.parametrize("value", [b"{}", None], ids=["written", "removed"])
async def test_a_key_of_another_place_is_told_and_hides_nothing(tmp_path: Path, value: bytes | None) -> None:
    async with cleaned(tmp_path) as (_, topics, found, clean):
        last = (await topics.records())[0]
        headers = dict(last.headers) | {"origin-offset": b"0"}
        position, home = parse_comment_id(sorted(await topics.kept())[0])
        elsewhere = (
            comment_id(position, home + 1).encode(),
            comment_id(position_at(2, offset_of(position)), home).encode(),
        )
        for key in elsewhere:
            await clean.append(home, NewRecord(key, value, headers))  # type: ignore[arg-type]  # as the job does
        findings = await verify_clean(found, QUIET, clean)
        assert findings.counts == {ELSEWHERE: 2}, findings.shown


async def test_keys_that_nobody_cleaned_are_told(tmp_path: Path) -> None:
    async with cleaned(tmp_path) as (_, topics, found, clean):
        headers = dict((await topics.records())[0].headers) | {"origin-offset": b"0"}
        beyond = comment_id(position_at(1, 1_000_000), 0)
        await clean.append(0, NewRecord(beyond.encode(), b"{}", headers))
        await clean.append(0, NewRecord(b"demo", b"{}", headers))
        findings = await verify_clean(found, QUIET, clean)
        assert findings.counts == {NO_ID: 1, NOT_IN_LOG: 1}, findings.shown
