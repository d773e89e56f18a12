"""Dead letters: listed, shown, and replayed at most once, when they can be read by now."""

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from livecomments_command.records.dead_letters import read_letters, replay_letters
from livecomments_command.records.opened import Opened, opened
from livecomments_command.settings import ToolSettings
from livecomments_schemas.events import (
    EPOCH_FENCE,
    VIDEO_ENDED,
    VIDEO_STARTED,
    ForeignHeaders,
    NewRecord,
    epoch_event,
    listed_headers,
    video_event,
)
from livecomments_schemas.judge import Kind
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import BEFORE_EVERYTHING, first_position
from livecomments_streams.dead_letters import DeadLetters
from tests.command.installation import (
    PARTITIONS,
    append,
    comment,
    deletion,
    id_of,
    installation,
    make_file,
    persist,
    run,
)
from tests.command.records.test_rebuild_export import Retained
from tests.log.faults import WatchedLog, nothing

VIDEO = "video"
HOME = partition_of(VIDEO, PARTITIONS)
ELSEWHERE = (HOME + 1) % PARTITIONS


async def with_letters(settings: ToolSettings) -> None:
    """Four letters: of a wrong partition, no JSON, a terminal's escape, and a delete that came too early."""
    await make_file(settings)
    async with opened(settings) as found:
        await found.log.append(ELSEWHERE, comment(VIDEO, 1))
        for value in (b'{"not json', b'{"\x1b[31m\n'):
            good = comment(VIDEO, 2)
            await found.log.append(HOME, NewRecord(good.key, value, good.headers))
        await append(found, [deletion(VIDEO, 3), comment(VIDEO, 3)])
        await persist(found)


async def replayed(found: Opened, chosen: object, *, dry_run: bool = False) -> list[str]:
    assert chosen is None or isinstance(chosen, str | tuple)
    return [sentence async for sentence in replay_letters(found, chosen, dry_run=dry_run)]


async def test_letters_are_listed_by_reason_and_shown_in_full(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await with_letters(settings)
    listed = run(settings, ["dead-letters", "list"])
    assert "1 foreign_key" in listed
    assert f"comments-1/{ELSEWHERE}/0" in listed
    assert "foreign_key" not in run(settings, ["dead-letters", "list", "--reason", "not_json"]).split("\n", 1)[1]
    (number,) = (
        line.split()[1] for line in listed.splitlines() if "not_one_json_line" in line and "comments-1" in line
    )
    shown = json.loads(run(settings, ["dead-letters", "show", number]))
    assert shown["reason"] == "not_one_json_line"
    assert shown["value"] == '{"\\x1b[31m\\n'
    assert run(settings, ["dead-letters", "show", number, "--raw"]) == '{"\x1b[31m\n'
    run(settings, ["dead-letters", "show", "99"], code=2)


async def test_what_can_be_read_by_now_is_appended_once(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await with_letters(settings)
    async with opened(settings) as found:
        before = await found.log.bounds(range(PARTITIONS))
        assert len(await replayed(found, None, dry_run=True)) == 4
        assert await found.log.bounds(range(PARTITIONS)) == before
        said = await replayed(found, None)
        assert [sentence for sentence in said if " replayed as " in sentence and ELSEWHERE_LETTER in sentence]
        assert len([sentence for sentence in said if "not replayed" in sentence]) == 2
        again = await replayed(found, None)
        assert len(again) == 2
        assert all("it is still invalid" in sentence for sentence in again)
        await persist(found)
        letters = [letter async for letter in read_letters(found.dead_letter_log)]
        assert sorted(letter.replayed for letter in letters) == [False, False, True, True]
        end = (await found.log.bounds([HOME]))[HOME].end
        appended = (await found.log.read(HOME, before[HOME].end, end, 10)).records
        assert sorted(record.headers["type"] for record in appended) == [b"comment.created", b"comment.deleted"]
    assert "yes" in run(settings, ["dead-letters", "list"])
    run(settings, ["dead-letters", "replay", "--all"], code=1)
    run(settings, ["dead-letters", "replay"], code=2)


async def test_a_letter_that_outlives_its_record_is_replayed_out_of_itself(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        whole = comment(VIDEO, 1, key="once")
        listed = [("x", None), *whole.headers.items(), ("traceparent", b"\xff\x00"), ("x", b""), ("x", b"2")]
        whole = whole._replace(headers=ForeignHeaders(listed))
        large = whole._replace(headers={**whole.headers, "y": b"y" * 10_000})
        for broken in (whole, large):
            await found.log.append(ELSEWHERE, broken)
        await append(found, [comment(VIDEO, 8), comment(VIDEO, 9)])
        await persist(found)
        left = replace(found, log=Retained(found, 2))  # type: ignore[arg-type]  # it delegates the rest
        kept, cut = await replayed(left, None)
        assert "replayed as" in kept
        assert "not replayed: the log no longer holds it, and the letter not all of it" in cut
        (end,) = [held.end for held in (await found.log.bounds([HOME])).values()]
        (record,) = (await found.log.read(HOME, end - 1, end, 1)).records
        assert (record.key, record.value) == (whole.key, whole.value)
        assert listed_headers(record.headers)[: len(listed)] == tuple(listed)
        origin = dict(listed_headers(record.headers)[len(listed) :])
        assert (origin["origin-partition"], origin["origin-offset"]) == (b"%d" % ELSEWHERE, b"0")
    shown = json.loads(run(settings, ["dead-letters", "show", "0"]))
    assert shown["headers"]["traceparent"] == "\\xff\\x00"
    assert [value for name, value in shown["headerList"] if name == "x"] == [None, "", "2"]


async def test_a_record_that_a_job_with_a_new_store_sets_aside_again_is_one_letter(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await found.log.append(ELSEWHERE, comment(VIDEO, 1))
        records = (await found.log.read(ELSEWHERE, 0, 1, 1)).records
        records += [records[0]._replace(offset=offset) for offset in range(1, 1_500)]
        letters = DeadLetters(found.dead_letter_log, found.topic)
        for _ in range(2):
            await asyncio.gather(*(letters.put(record, "foreign_key") for record in records))
        listed = [letter async for letter in read_letters(found.dead_letter_log)]
        assert [letter.number for letter in listed] == list(range(1_500))
        assert len([one for one in await replayed(found, (0, 1_500)) if "replayed as" in one]) == 1
        assert (await found.log.bounds([HOME]))[HOME].end == 1


async def test_an_empty_reason_is_not_all_of_them(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await with_letters(settings)
    assert run(settings, ["dead-letters", "replay", "--reason", ""]) == ""
    async with opened(settings) as found:
        assert not [letter async for letter in read_letters(found.dead_letter_log) if letter.replayed]


async def test_a_number_that_no_letter_has_is_said(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await with_letters(settings)
    assert "99 not replayed: there is no dead letter of this number" in run(
        settings, ["dead-letters", "replay", "99", "98"], code=1
    )


@pytest.mark.parametrize("origin", [b"comments-1/x/y", b"comments-1//", b"comments-1/99/0", b"comments-1/-1/0"])
async def test_what_others_write_among_the_letters_holds_no_replay_up(tmp_path: Path, origin: bytes) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        foreign = NewRecord(b"k", b"v", {"origin": origin, "reason": b"theirs"})
        await found.dead_letter_log.append(0, foreign)
        await found.log.append(ELSEWHERE, comment(VIDEO, 1))
        await persist(found)
        *others, last = await replayed(found, None)
        assert "1 (comments-1" in last
        assert "replayed as" in last
        assert all("not replayed: comments-1 has no partition 99" in one for one in others)


async def test_a_replay_whose_mark_was_lost_is_a_duplicate(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await with_letters(settings)
    async with opened(settings) as found:

        class Forgetful:
            """A dead-letter log that takes no marks."""

            async def append(self, partition: int, record: NewRecord) -> int:
                return 0

            def __getattr__(self, name: str) -> object:
                return getattr(found.dead_letter_log, name)

        forgetting = Opened(found.topic, found.log, Forgetful(), found.store)  # type: ignore[arg-type]  # as much as is used
        (first,), (second,) = await replayed(forgetting, "foreign_key"), await replayed(found, "foreign_key")
        assert first == second, "the one that survives is told"
        await persist(found)
        from livecomments_command.records.scan import scan

        end = (await found.log.bounds([HOME]))[HOME].end
        kinds = [one.verdict.kind async for chunk in scan(found.log, HOME, end - 2, end) for one in chunk]
        assert kinds == [Kind.ACCEPTED, Kind.DUPLICATE]


async def test_a_comment_whose_video_has_ended_is_not_replayed_nor_called_so(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        for number in range(2):
            await found.log.append(ELSEWHERE, comment(VIDEO, number))
        await persist(found)
        ended = video_event(VIDEO_ENDED, VIDEO, "owner")

        async def around(call: str) -> None:
            if call == "append":
                log.around = nothing
                await found.log.append(HOME, ended)

        log = WatchedLog(found.log, around)
        said = await replayed(replace(found, log=log), None)
        assert len(said) == 2
        assert all("not replayed: its video ha" in sentence for sentence in said)
        assert (await found.log.bounds([HOME]))[HOME].end == 2, "the first was void, and the second was not written"
        assert len(await replayed(found, None)) == 2
        await append(found, [video_event(VIDEO_STARTED, VIDEO, "owner")])
        void, shown = await replayed(found, None)
        assert "not replayed: its video had ended" in void, "it was said then, and its key stands for that"
        assert "replayed as" in shown


async def test_what_comes_behind_the_end_of_its_epoch_is_not_called_replayed(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        for number in range(2):
            await found.log.append(ELSEWHERE, comment(VIDEO, number))
        await persist(found)

        async def around(call: str) -> None:
            if call == "append":
                log.around = nothing
                await found.log.append(HOME, epoch_event(EPOCH_FENCE, 1))

        log = WatchedLog(found.log, around)
        said = await replayed(replace(found, log=log), None)
        assert len(said) == 2
        assert all("not replayed: its epoch has ended" in sentence for sentence in said)
        assert (await found.log.bounds([HOME]))[HOME].end == 2
        assert not any([letter.replayed async for letter in read_letters(found.dead_letter_log)])


async def test_a_comment_whose_key_was_used_for_another_is_not_called_replayed(tmp_path: Path) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        await found.log.append(ELSEWHERE, comment(VIDEO, 1, key="one"))
        await append(found, [comment(VIDEO, 2, key="one")])
        await persist(found)
        (said,) = await replayed(found, None)
        assert f"not replayed: its idempotency key was used for another comment, {id_of(VIDEO, 0)}" in said


ELSEWHERE_LETTER = f"(comments-1/{ELSEWHERE}/0)"


REPLAYABLE = 3
EVENTS = 4 * REPLAYABLE
"""Of a whole replay: before and after each append, of the record and of the mark that says so."""


@pytest.mark.parametrize("event", range(1, EVENTS + 1))
async def test_whoever_is_killed_at_a_hard_place_of_a_replay_has_each_comment_once_in_the_end(
    tmp_path: Path, event: int
) -> None:
    settings = installation(tmp_path)
    await make_file(settings)
    async with opened(settings) as found:
        for number in range(REPLAYABLE):
            await found.log.append(ELSEWHERE, comment(VIDEO, number))
        await persist(found)
    assert await killed(settings, event) == -signal.SIGKILL
    assert await killed(settings, 10**6) == 0
    async with opened(settings) as found:
        await persist(found)
        rows = (await found.store.read(VIDEO, BEFORE_EVERYTHING, first_position(2), 100, descending=False)).rows
        texts = [json.loads(row.value)["message"] for row in rows]
        assert texts == [json.loads(comment(VIDEO, number).value)["message"] for number in range(REPLAYABLE)]
        assert [letter.replayed async for letter in read_letters(found.dead_letter_log)] == [True] * REPLAYABLE


async def killed(settings: ToolSettings, event: int) -> int:
    """Replay all letters in a process that dies at this event; what it ended with."""
    arguments = ["-m", "tests.command.records.dying", str(settings.data_dir), str(PARTITIONS), str(event)]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    return await process.wait()
