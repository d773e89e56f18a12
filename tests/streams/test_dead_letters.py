"""What a dead letter says, and that it never holds up what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments.kafka.writer import RECORD_BYTES_MAX, size_of
from livecomments.log.interface import AppendRefused, AppendUnavailable, AppendUnknown
from livecomments_schemas.events import ForeignHeaders, Record, listed_headers
from livecomments_streams.dead_letters import DeadLetters, letter_of
from tests.history.world import World
from tests.log.faults import WatchedLog

BROKEN = Record(3, 77, b"key", b"value", {"type": b"comment.created", "schema": b"9"}, 0)
SHORT_NAMES = [chr(48 + number // 64) + chr(48 + number % 64) for number in range(4_096)]


async def letters(world: World) -> list[Record]:
    end = (await world.dead_letter_log.bounds([0]))[0].end
    return list((await world.dead_letter_log.read(0, 0, end, 100)).records)


async def test_a_letter_is_the_record_with_its_reason_and_its_place(world: World) -> None:
    await DeadLetters(world.dead_letter_log, "comments-1").put(BROKEN, "no_schema")
    (letter,) = await letters(world)
    assert (letter.key, letter.value) == (b"key", b"value")
    assert letter.headers == {
        "reason": b"no_schema",
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
    assert letter.headers["cut"] == b"key of 5000 bytes, value of 900000 bytes, headers of 52 bytes"


async def test_a_topic_that_takes_less_than_a_letter_gets_its_origin_and_holds_nothing_up(world: World) -> None:
    refusals: list[AppendRefused] = [AppendRefused("too large")]

    async def refuse_once(name: str) -> None:
        if name == "append" and refusals:
            raise refusals.pop()

    large = BROKEN._replace(value=b"v" * 5_000)
    await DeadLetters(WatchedLog(world.dead_letter_log, refuse_once), "comments-1").put(large, "too_long")
    (letter,) = await letters(world)
    assert (letter.key, letter.value) == (b"", b"")
    assert letter.headers == {
        "reason": b"too_long",
        "origin": b"comments-1/3/77",
        "cut": b"key of 3 bytes, value of 5000 bytes, headers of 52 bytes",
    }


async def test_a_letter_lists_the_headers_that_are_repeated_or_null(world: World) -> None:
    listed = [("x", None), ("type", b"a"), ("x", b"1"), ("x", b"2")]
    await DeadLetters(world.dead_letter_log, "comments-1").put(BROKEN._replace(headers=ForeignHeaders(listed)), "bad")
    (letter,) = await letters(world)
    assert listed_headers(letter.headers)[2:] == tuple((f"record.{name}", value) for name, value in listed)


@pytest.mark.parametrize(("size", "is_cut"), [(8 * 1_024 - 17, False), (8 * 1_024 - 16, True), (900_000, True)])
async def test_headers_are_kept_up_to_a_bound_and_never_half(world: World, size: int, is_cut: bool) -> None:
    large = BROKEN._replace(headers={"type": b"x" * size})
    await DeadLetters(world.dead_letter_log, "comments-1").put(large, "too_long")
    (letter,) = await letters(world)
    assert ("cut" in letter.headers) is is_cut
    assert letter.headers.get("record.type") == (None if is_cut else b"x" * size)


def test_thousands_of_headers_with_short_names_make_no_letter_that_is_refused() -> None:
    foreign = BROKEN._replace(key=b"k" * 1_025, value=b"v" * 70_000, headers=dict.fromkeys(SHORT_NAMES[:4_065], b""))
    letter = letter_of(foreign, "too_long", "comments-1")
    assert size_of(letter) <= RECORD_BYTES_MAX
    assert letter.headers["cut"] == b"key of 1025 bytes, value of 70000 bytes, headers of 60975 bytes"


@given(value=st.sampled_from([0, 64, 70]), headers=st.integers(0, 4_096), said=st.sampled_from([0, 1, 300]))
def test_no_record_makes_a_letter_that_is_refused(value: int, headers: int, said: int) -> None:
    own = dict.fromkeys(SHORT_NAMES[:headers], b"h" * said)
    foreign = BROKEN._replace(key=b"k" * 1_025, value=b"v" * value * 1_024, headers=own)
    letter = letter_of(foreign, "too_long", "comments-1")
    assert size_of(letter) + 6 * len(letter.headers) <= RECORD_BYTES_MAX, "with the lengths that Kafka adds"


@pytest.mark.parametrize("error", [AppendUnavailable("away"), AppendUnknown("slow")])
async def test_a_letter_is_tried_until_it_is_durable(world: World, error: Exception) -> None:
    failures = iter([error])

    async def around(name: str) -> None:
        if name == "append" and (failure := next(failures, None)):
            raise failure

    await DeadLetters(WatchedLog(world.dead_letter_log, around), "comments-1").put(BROKEN, "no_schema")
    assert len(await letters(world)) == 1
