"""Records that nobody can read go to the dead-letter topic with their reason and origin, and hold nothing up."""

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from livecomments_schemas.events import NewRecord, comment_deleted
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.live.stream import Deployment, comments, deployment, until, videos_of
from tests.log.contract import append_undecodable

VIDEO, ELSEWHERE = (video for _, video in sorted((partition_of(one, 2), one) for one in videos_of(2, 2)))
GOOD: NewRecord = comments([VIDEO], 1, "good")[0]
MEGABYTE = 1_000_000

Poison = tuple[bytes | None, bytes | None, Mapping[str, bytes]]

POISONS: dict[str, tuple[str, Poison]] = {
    "a null value": ("null_key_or_value", (GOOD.key, None, GOOD.headers)),
    "a null key": ("null_key_or_value", (None, GOOD.value, GOOD.headers)),
    "both null": ("null_key_or_value", (None, None, GOOD.headers)),
    "an empty value": ("not_one_json_line", (GOOD.key, b"", GOOD.headers)),
    "an empty key": ("foreign_key", (b"", GOOD.value, GOOD.headers)),
    "a line feed": ("not_one_json_line", (GOOD.key, GOOD.value + b"\n", GOOD.headers)),
    "a carriage return": ("not_one_json_line", (GOOD.key, GOOD.value.replace(b",", b",\r", 1), GOOD.headers)),
    "no JSON": ("not_json", (GOOD.key, b'{"half', GOOD.headers)),
    "bytes that are no text": ("not_json", (GOOD.key, b'{"\xff\xfe"}', GOOD.headers)),
    "no schema": ("no_schema", (GOOD.key, GOOD.value, {**GOOD.headers, "schema": b"one"})),
    "no author": ("no_author", (GOOD.key, GOOD.value, {"type": GOOD.headers["type"], "schema": b"1"})),
    "another partition's key": ("foreign_key", (ELSEWHERE.encode(), GOOD.value, GOOD.headers)),
    "a key that is no text": ("foreign_key", (b"\xff\x00", GOOD.value, GOOD.headers)),
    "a megabyte": ("too_long", (GOOD.key, b'{"' + b"x" * MEGABYTE, GOOD.headers)),
    "a key of a megabyte": ("foreign_key", (b"k" * MEGABYTE, GOOD.value, GOOD.headers)),
    "a header of a megabyte": ("too_long", (GOOD.key, b'{"' + b"x" * 20_000, {**GOOD.headers, "x": b"x" * MEGABYTE})),
}


@pytest.fixture
async def deployed(kafka_address: str, cql_address: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    async with deployment(kafka_address, cql_address, tmp_path) as made:
        yield made


async def test_every_poison_is_set_aside_with_its_reason_and_origin_and_holds_nothing_up(deployed: Deployment) -> None:
    worker = await deployed.start().started()
    reasons: dict[tuple[int, int], tuple[str, bytes | None]] = {}
    home = partition_of(VIDEO, 2)
    for of, (reason, (key, value, headers)) in POISONS.items():
        await deployed.append(comments([VIDEO], 5, of))
        offset = await deployed.append_foreign(home, key, value, headers)
        reasons[home, offset] = (reason, value)
    await deployed.append(comments([VIDEO, ELSEWHERE], 10, "last"))
    await deployed.complete()
    letters = await deployed.dead_letters()
    assert {origin: reason for origin, (reason, _, _) in letters.items()} == {
        origin: reason for origin, (reason, _) in reasons.items()
    }
    assert all(
        (letter or b"") == (value or b"")
        for origin, (_, value) in reasons.items()
        if len(value or b"") < MEGABYTE
        for _, _, letter in [letters[origin]]
    )
    assert await worker.stop() == 0, worker.logged


async def test_a_header_name_that_is_no_text_ends_its_batch_and_holds_nothing_up(deployed: Deployment) -> None:
    worker = await deployed.start().started()
    await deployed.append(comments([VIDEO], 5, "before"))
    await append_undecodable(deployed.kafka, deployed.topic, partition_of(VIDEO, 2), comments([VIDEO], 3, "batch"), 1)
    await deployed.append(comments([VIDEO, ELSEWHERE], 10, "behind"))
    await deployed.complete()
    assert worker.has_logged("rest of a batch skipped: a header's name is not UTF-8")
    assert await worker.stop() == 0, worker.logged


async def test_times_of_others_and_deletes_of_what_never_was_are_harmless(deployed: Deployment) -> None:
    home, epoch = partition_of(VIDEO, 2), deployed.epoch
    good = comments([VIDEO], 2)[1]
    for timestamp_ms in (0, 4_102_444_800_000):  # of 1970 and 2100; the log has a clock of its own
        await deployed.append_foreign(home, good.key, good.value, good.headers, timestamp_ms=timestamp_ms)
    for of_epoch in (epoch - 1, epoch, epoch + 1):
        await deployed.append([comment_deleted(VIDEO, comment_id(position_at(of_epoch, 2), home), "mod")] * 2)
    await deployed.append(comments([VIDEO, ELSEWHERE], 10))
    await deployed.start().started()
    await deployed.complete()
    now_ms = time.time() * 1_000
    assert all(abs(row.appended_at_ms - now_ms) < 3_600_000 for row in (await deployed.stored()).values())
    letters = await deployed.dead_letters()
    assert {origin: reason for origin, (reason, _, _) in letters.items()} == {
        (home, offset): "target_not_earlier" for offset in (6, 7)
    }


async def test_a_type_of_tomorrow_is_skipped_and_no_dead_letter(deployed: Deployment) -> None:
    await deployed.append_foreign(0, b"any", b"thing", {"type": b"comment.reacted"})
    await deployed.append_foreign(0, None, None, {})
    await deployed.append(comments(videos_of(2), 20))
    await deployed.start().started()
    await deployed.complete()
    assert await deployed.dead_letters() == {}


async def test_a_letter_written_just_before_a_crash_is_written_again_and_the_record_is_not_lost(
    deployed: Deployment,
) -> None:
    bug = deployed.directory / "bug"
    worker = await deployed.start(f"raise={bug}").started()
    bug.touch()
    home = partition_of(VIDEO, 2)
    await deployed.append_foreign(home, GOOD.key, b"{", GOOD.headers)
    await deployed.append(comments([VIDEO], 10))
    assert await worker.ended() == 70
    await until(lambda: _has_letters(deployed, 1), "the letter")
    await deployed.start().started()
    await deployed.complete()
    assert [reason for reason, _, _ in (await deployed.dead_letters()).values()] == ["not_one_json_line"]


async def _has_letters(deployed: Deployment, count: int) -> bool:
    return len(await deployed.dead_letters()) == count
