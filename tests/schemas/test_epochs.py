"""The fold of the epochs topic: what it says after any records, by whomever, in any order."""

import random
from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_schemas.epochs import NO_EPOCHS, Contract, Epochs, epoch_closed, epoch_ending, epoch_opened
from livecomments_schemas.events import NewRecord, Record
from livecomments_schemas.positions import EPOCH_MAX

SETTINGS = {"cleanup.policy": "delete"}


def contract(epoch: int, topic_id: str = "id", partitions: int = 64) -> Contract:
    return Contract(epoch, partitions, topic_id, 3, SETTINGS)


def placed(records: Sequence[NewRecord]) -> list[Record]:
    return [
        Record(0, offset, key, value, headers, 1_000 + offset) for offset, (key, value, headers) in enumerate(records)
    ]


def fold(records: Sequence[Record]) -> Epochs:
    epochs = NO_EPOCHS
    for record in records:
        epochs = epochs.after(record)
    return epochs


def numbers(epochs: Epochs) -> list[tuple[int, bool]]:
    return [(one.number, one.is_closed) for one in epochs.known]


def test_before_any_record_there_is_no_epoch() -> None:
    assert NO_EPOCHS.newest is None
    assert not NO_EPOCHS.is_open(1)


def test_an_epoch_is_what_the_first_record_says_that_opens_it() -> None:
    epochs = fold(placed([epoch_opened(contract(1, "first")), epoch_opened(contract(1, "second", 65))]))
    assert [one.contract for one in epochs.known] == [contract(1, "first")]
    assert epochs.known[0].opened_at_ms == 1_000
    assert epochs.is_open(1)
    assert not epochs.is_open(2)


def test_a_deployment_that_was_made_before_may_begin_with_any_epoch() -> None:
    assert numbers(fold(placed([epoch_opened(contract(7))]))) == [(7, False)]


def test_the_next_opens_only_when_the_one_before_is_closed() -> None:
    early, close = epoch_opened(contract(2, "early")), epoch_closed(1, "topic lost")
    late = epoch_opened(contract(2, "late"))
    epochs = fold(placed([epoch_opened(contract(1)), early, close, late]))
    assert numbers(epochs) == [(1, True), (2, False)]
    assert epochs.known[1].contract.topic_id == "late"
    assert (epochs.known[0].closed_at_ms, epochs.known[0].reason) == (1_002, "topic lost")
    assert not epochs.is_open(1)
    assert epochs.is_open(2)


def test_it_is_the_next_that_opens_and_the_open_one_that_closes() -> None:
    opened, close = epoch_opened(contract(1)), epoch_closed(1, "")
    assert numbers(fold(placed([opened, close, epoch_opened(contract(3))]))) == [(1, True)]
    assert numbers(fold(placed([opened, epoch_closed(2, "")]))) == [(1, False)]
    assert numbers(fold(placed([epoch_closed(1, ""), opened]))) == [(1, False)]
    again = fold(placed([opened, epoch_closed(1, "one"), epoch_closed(1, "other")]))
    assert (again.known[0].reason, again.known[0].closed_at_ms) == ("one", 1_001)


def test_an_epoch_that_ends_by_fences_says_where_and_the_next_has_a_multiple_of_its_partitions() -> None:
    opened, close = epoch_opened(contract(1, partitions=2)), epoch_closed(1, "it grew", [7, 0])
    uneven, grown = epoch_opened(contract(2, partitions=3)), epoch_opened(contract(2, partitions=4))
    epochs = fold(placed([opened, close, epoch_closed(1, "it grew", [9, 9]), uneven, grown]))
    assert epochs.known[0].fences == (7, 0)
    assert epochs.counts == {1: 2, 2: 4}
    assert numbers(fold(placed([opened, epoch_closed(1, "its topic was lost"), uneven]))) == [(1, True), (2, False)]


def test_where_an_epoch_ended_before_its_fences_is_what_was_said_first_while_it_was_open() -> None:
    opened, ending = epoch_opened(contract(1, partitions=2)), epoch_ending(1, [5, 6])
    epochs = fold(placed([epoch_ending(1, [1, 1]), opened, epoch_ending(1, [1]), ending, epoch_ending(1, [9, 9])]))
    assert epochs.known[0].ends == (5, 6)
    assert epochs.is_open(1)
    late = fold(placed([opened, epoch_closed(1, ""), ending]))
    assert late.known[0].ends == ()


def test_the_end_of_an_epoch_changes_nothing_of_those_before_it() -> None:
    first, second = epoch_opened(contract(1, partitions=2)), epoch_opened(contract(2, partitions=2))
    before = fold(placed([first, epoch_closed(1, ""), second]))
    ending = fold(placed([first, epoch_closed(1, ""), second, epoch_ending(2, [5, 6])]))
    assert ending.find(1) == before.find(1) is not None
    assert [one.ends for one in ending.known] == [(), (5, 6)]


def test_of_an_epoch_that_nobody_told_of_nothing_is_found() -> None:
    assert fold(placed([epoch_opened(contract(1))])).find(2) is None


SAID = {"epoch": 1, "partitions": 64, "topicId": "id", "replicas": 3, "settings": SETTINGS}
SAID_NEXT = SAID | {"epoch": 2}


def test_what_comes_next_is_told_ahead_and_what_is_open_only_by_the_record_that_opens_it() -> None:
    opened, meant, other = epoch_opened(contract(1, partitions=2)), contract(2, partitions=4), contract(2, partitions=8)
    epochs = fold(placed([opened, epoch_ending(1, [5, 6], meant)]))
    assert epochs.known[0].following == meant
    assert epochs.is_open(1)
    grown = fold(
        placed([opened, epoch_ending(1, [5, 6], meant), epoch_closed(1, "it grew", [7, 7]), epoch_opened(other)])
    )
    assert grown.known[1].contract == other


@pytest.mark.parametrize("told", [None, [], "next", {}, {"epoch": 2}, {"epoch": True}, SAID_NEXT | {"epoch": 3}])
def test_an_end_that_tells_nothing_usable_of_the_next_epoch_is_an_end_all_the_same(told: object) -> None:
    value = orjson.dumps({"epoch": 1, "ends": [5, 6], "next": told})
    record = Record(0, 1, b"1", value, {"type": b"epoch.ending", "schema": b"1"}, 0)
    (only,) = fold([*placed([epoch_opened(contract(1, partitions=2))]), record]).known
    assert (only.ends, only.following) == ((5, 6), None)


@pytest.mark.parametrize("fences", [[1], [1, 2, 3], [1, -1], [1, True], [1, 1 << 40], "ab", {"0": 1}, None, [1, 1.0]])
def test_fences_that_we_would_not_write_close_nothing(fences: object) -> None:
    value = orjson.dumps({"epoch": 1, "reason": "it grew", "fences": fences})
    record = Record(0, 1, b"1", value, {"type": b"epoch.closed", "schema": b"1"}, 0)
    assert numbers(fold([*placed([epoch_opened(contract(1, partitions=2))]), record])) == [(1, False)]


HEADERS = {"type": b"epoch.opened", "schema": b"1"}


@pytest.mark.parametrize(
    "changed",
    [
        {"epoch": 0},
        {"epoch": EPOCH_MAX + 1},
        {"epoch": True},
        {"epoch": "1"},
        {"partitions": 0},
        {"partitions": (1 << 24) + 1},
        {"partitions": 1.5},
        {"replicas": 0},
        {"replicas": 1_001},
        {"topicId": None},
        {"topicId": "x" * 1_001},
        {"settings": []},
        {"settings": {"cleanup.policy": 1}},
        {"settings": {str(number): "" for number in range(101)}},
    ],
    ids=str,
)
def test_a_record_that_we_would_not_write_opens_nothing(changed: dict[str, object]) -> None:
    key = str(changed.get("epoch", 1)).encode()
    record = Record(0, 0, key, orjson.dumps(SAID | changed), HEADERS, 0)
    assert fold([record]) == NO_EPOCHS


@pytest.mark.parametrize(
    "changed",
    [{"topicId": "x" * 1_000}, {"replicas": 1_000}, {"partitions": 1 << 24}, {"settings": {"x" * 1_000: "y" * 1_000}}],
    ids=["topic id", "replicas", "partitions", "settings"],
)
def test_a_record_at_its_bounds_opens_an_epoch(changed: dict[str, object]) -> None:
    assert numbers(fold([Record(0, 0, b"1", orjson.dumps(SAID | changed), HEADERS, 0)])) == [(1, False)]


@pytest.mark.parametrize(
    "record",
    [
        Record(0, 0, b"2", orjson.dumps(SAID), HEADERS, 0),
        Record(0, 0, None, orjson.dumps(SAID), HEADERS, 0),
        Record(0, 0, b"1", None, HEADERS, 0),
        Record(0, 0, b"1", b"{", HEADERS, 0),
        Record(0, 0, b"1", b"[1]", HEADERS, 0),
        Record(0, 0, b"1", orjson.dumps(SAID), {"type": b"epoch.opened"}, 0),
        Record(0, 0, b"1", orjson.dumps(SAID), {"type": b"epoch.opened", "schema": b"2"}, 0),
        Record(0, 0, b"1", orjson.dumps(SAID), {"type": b"epoch.planned", "schema": b"1"}, 0),
        Record(0, 0, b"1", orjson.dumps(SAID), {"schema": b"1"}, 0),
    ],
    ids=lambda record: f"{record.key!r} {record.value!r:.20} {record.headers!r}",
)
def test_a_foreign_record_is_passed_over(record: Record) -> None:
    assert fold([record]) == NO_EPOCHS


def test_members_that_a_later_version_adds_are_passed_over() -> None:
    record = Record(0, 0, b"1", orjson.dumps(SAID | {"parent": 0}), HEADERS, 5)
    assert fold([record]).known[0].contract == contract(1)


RECORDS = st.one_of(
    st.builds(epoch_opened, st.builds(contract, st.integers(1, 4), st.sampled_from(("a", "b")), st.integers(1, 3))),
    st.builds(epoch_closed, st.integers(1, 4), st.sampled_from(("x", "y"))),
    st.builds(NewRecord, st.binary(max_size=3), st.binary(max_size=9), st.just(HEADERS)),
)


@given(st.lists(RECORDS, max_size=30))
def test_what_was_said_once_stays_and_at_most_the_newest_is_open(records: list[NewRecord]) -> None:
    epochs = NO_EPOCHS
    for record in placed(records):
        before, epochs = epochs, epochs.after(record)
        assert len(epochs.known) - len(before.known) in (0, 1)
        for one, other in zip(before.known, epochs.known, strict=False):
            assert one.contract == other.contract
            assert other == one or (not one.is_closed and other.is_closed)
    assert all(one.is_closed for one in epochs.known[:-1])
    first = epochs.known[0].number if epochs.known else 0
    assert [one.number for one in epochs.known] == list(range(first, first + len(epochs.known)))


@given(st.lists(RECORDS, max_size=12), st.data())
def test_a_step_that_is_repeated_later_changes_nothing(records: list[NewRecord], data: st.DataObject) -> None:
    """What has counted counts no second time, whoever says it again, and whenever."""
    epochs, counted = NO_EPOCHS, []
    for record in placed(records):
        if (following := epochs.after(record)) is not epochs:
            counted.append(record)
        epochs = following
    again = data.draw(st.lists(st.sampled_from(counted), max_size=5)) if counted else []
    assert fold([*placed(records), *again]) == epochs


@pytest.mark.parametrize("seed", range(300))
def test_of_writers_that_race_all_read_the_same_and_never_two_may_write(seed: int) -> None:
    """Writers that read late, repeat themselves and die between two steps, on one log; readers stand anywhere."""
    dice = random.Random(seed)
    log: list[Record] = []
    writers = [Epochs() for _ in range(3)]
    read = [0] * len(writers)
    for _ in range(60):
        number = dice.randrange(len(writers))
        for record in log[read[number] : dice.randint(read[number], len(log))]:
            writers[number] = writers[number].after(record)
            read[number] += 1
        newest = writers[number].newest
        if newest is None:
            said = epoch_opened(contract(1, f"by {number}"))
        elif newest.is_closed:
            said = epoch_opened(contract(newest.number + 1, f"by {number}"))
        else:
            said = epoch_closed(newest.number, f"by {number}")
        if dice.random() < 0.5:  # else it was killed before, or nothing came of it
            log.append(Record(0, len(log), *said, len(log)))
    whole = fold(log)
    for number, known in enumerate(writers):
        assert known == fold(log[: read[number]])
        for one, other in zip(known.known, whole.known, strict=False):
            assert one.contract == other.contract
    assert sum(whole.is_open(one.number) for one in whole.known) <= 1
