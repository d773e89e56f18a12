"""What a dead letter says, and that it never holds up what follows."""

import pytest

from livecomments.log.interface import AppendUnavailable, AppendUnknown
from schemas.events import Record
from streams.dead_letters import DeadLetters
from tests.history.world import World
from tests.log.faults import WatchedLog

BROKEN = Record(3, 77, b"key", b"value", {"type": b"comment.created", "schema": b"9"}, 0)


async def letters(world: World) -> list[Record]:
    end = (await world.dead_letter_log.bounds([0]))[0].end
    return list((await world.dead_letter_log.read(0, 0, end, 100)).records)


async def test_a_letter_is_the_record_with_its_reason_and_its_place(world: World) -> None:
    await DeadLetters(world.dead_letter_log, "comments-1").put(BROKEN, "unknown_schema")
    (letter,) = await letters(world)
    assert (letter.key, letter.value) == (b"key", b"value")
    assert letter.headers == {
        "reason": b"unknown_schema",
        "origin": b"comments-1/3/77",
        "record.type": b"comment.created",
        "record.schema": b"9",
    }


async def test_a_letter_without_a_value_is_told_from_an_empty_one(world: World) -> None:
    dead_letters = DeadLetters(world.dead_letter_log, "comments-1")
    await dead_letters.put(BROKEN._replace(key=None, value=None), "null_key_or_value")
    await dead_letters.put(BROKEN._replace(key=b"", value=b""), "not_one_json_line")
    null, empty = await letters(world)
    assert (null.key, null.value) == (empty.key, empty.value) == (b"", b"")
    assert null.headers["value"] == b"null"
    assert "value" not in empty.headers


async def test_a_letter_that_would_be_too_large_is_cut_and_says_so(world: World) -> None:
    large = BROKEN._replace(key=b"k" * 5_000, value=b"v" * 900_000)
    await DeadLetters(world.dead_letter_log, "comments-1").put(large, "too_long")
    (letter,) = await letters(world)
    assert len(letter.key or b"") + len(letter.value or b"") < 100 * 1_024, "what a writer of Kafka takes"
    assert large.value is not None
    assert large.value.startswith(letter.value or b"-")
    assert letter.headers["cut"] == b"key of 5000 bytes, value of 900000 bytes, headers of 26 bytes"


@pytest.mark.parametrize(("size", "is_cut"), [(8 * 1_024 - 4, False), (8 * 1_024 - 3, True), (900_000, True)])
async def test_headers_are_kept_up_to_a_bound_and_never_half(world: World, size: int, is_cut: bool) -> None:
    large = BROKEN._replace(headers={"type": b"x" * size})
    await DeadLetters(world.dead_letter_log, "comments-1").put(large, "too_long")
    (letter,) = await letters(world)
    assert ("cut" in letter.headers) is is_cut
    assert letter.headers.get("record.type") == (None if is_cut else b"x" * size)


@pytest.mark.parametrize("error", [AppendUnavailable("away"), AppendUnknown("slow")])
async def test_a_letter_is_tried_until_it_is_durable(world: World, error: Exception) -> None:
    failures = iter([error])

    async def around(name: str) -> None:
        if name == "append" and (failure := next(failures, None)):
            raise failure

    await DeadLetters(WatchedLog(world.dead_letter_log, around), "comments-1").put(BROKEN, "unknown_schema")
    assert len(await letters(world)) == 1
