"""What a record is: every verdict, every reason, and that all readers agree on it."""

import json
import random
from functools import cache

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_schemas.errors import Corrupt
from livecomments_schemas.events import EPOCH_BEGAN, EPOCH_FENCE, EVENT_TYPES, NewRecord, Record, epoch_event
from livecomments_schemas.judge import FENCED, Kind, RecordCorrupt, Verdict, judge
from livecomments_schemas.limits import (
    AUTHOR_ID_BYTES_MAX,
    DEDUPE_WINDOW_RECORDS,
    IDEMPOTENCY_KEY_CHARS_MAX,
    RECORD_VALUE_BYTES_MAX,
)
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import EPOCH_MAX, OFFSET_MAX, comment_id, position_at
from livecomments_schemas.render import render_comment
from livecomments_schemas.window import Occurrence, Window

from .records import (
    BO,
    EPOCH,
    NOON_MS,
    PARTITION,
    VIDEO,
    Entry,
    at,
    comment,
    delete_of,
    ended,
    fresh_window,
    random_log,
    started,
    with_value,
)
from .reference import kind_of, survivor_of

W = DEDUPE_WINDOW_RECORDS


def verdicts(window: Window, *records: Record) -> list[Verdict]:
    return [judge(record, window) for record in records]


def kinds(*records: Record, size: int = W) -> list[Kind]:
    return [verdict.kind for verdict in verdicts(fresh_window(size=size), *records)]


# The end of an epoch


def test_what_lies_behind_the_first_fence_of_its_epoch_is_void_whatever_it_is() -> None:
    window, fence = fresh_window(), epoch_event(EPOCH_FENCE, EPOCH)
    judged = verdicts(
        window,
        at(0, comment(key="k")),
        at(1, fence),
        at(2, comment(key="k")),
        at(3, delete_of(0)),
        at(4, ended()),
        at(5, with_value(comment(), b"no json")),
        at(6, fence),
    )
    assert [one.kind for one in judged[:2]] == [Kind.ACCEPTED, Kind.UNKNOWN_TYPE]
    assert judged[2:6] == [FENCED] * 4
    assert judged[6].kind is Kind.UNKNOWN_TYPE
    assert window.fence == 1


def test_a_reader_that_begins_behind_a_fence_that_is_in_its_window_agrees() -> None:
    window = fresh_window(since=1, whole=False)
    assert verdicts(window, at(1, epoch_event(EPOCH_FENCE, EPOCH)), at(2, comment()))[1] == FENCED


@pytest.mark.parametrize(
    "fence",
    [
        at(0, epoch_event(EPOCH_FENCE, EPOCH + 1)),
        at(0, epoch_event(EPOCH_FENCE, EPOCH), schema=b"2"),
        at(0, epoch_event(EPOCH_FENCE, EPOCH)._replace(key=b"2")),
        at(0, epoch_event(EPOCH_FENCE, EPOCH)._replace(value=b"{}")),
        at(0, epoch_event(EPOCH_BEGAN, EPOCH)),
    ],
    ids=["another epoch", "another schema", "another key", "another value", "a beginning"],
)
def test_a_fence_of_another_epoch_or_one_that_we_would_not_write_ends_nothing(fence: Record) -> None:
    assert kinds(fence, at(1, comment())) == [Kind.UNKNOWN_TYPE, Kind.ACCEPTED]


def test_a_delete_may_name_a_comment_of_an_earlier_epoch_in_a_partition_of_its_video() -> None:
    window = Window(2, 70, 128, since=0, whole=True)
    video_id = next(f"v{n}" for n in range(10_000) if partition_of(f"v{n}", 128) == 70)
    for target, is_sound in (((1, 6), True), ((1, 70), True), ((1, 7), False), ((2, 6), False), ((3, 70), False)):
        delete = at(5, delete_of(3, video_id, epoch=target[0], partition=target[1]))
        verdict = judge(delete._replace(partition=70), window)
        assert (verdict.kind is Kind.ACCEPTED) == is_sound, target
        if is_sound:
            assert verdict.target == position_at(target[0], 3)


# Sound records


def test_a_comment_is_accepted_with_its_video() -> None:
    assert judge(at(0, comment()), fresh_window()) == Verdict(Kind.ACCEPTED, VIDEO)


def test_a_comment_without_a_key_is_never_a_duplicate() -> None:
    assert kinds(at(0, comment()), at(1, comment())) == [Kind.ACCEPTED, Kind.ACCEPTED]


def test_a_retry_is_a_duplicate_of_the_first_with_its_digest() -> None:
    first, retry, retry_of_retry = (at(offset, comment(key="k")) for offset in (3, 5, 9))
    survivor = Occurrence(3, first.headers["digest"], void=False)
    duplicate = Verdict(Kind.DUPLICATE, VIDEO, survivor=survivor)
    assert verdicts(fresh_window(), first, retry, retry_of_retry) == [
        Verdict(Kind.ACCEPTED, VIDEO),
        duplicate,
        duplicate,
    ]


def test_a_key_used_for_another_text_is_a_duplicate_that_shows_the_first_digest() -> None:
    first, second = at(0, comment(message="one", key="k")), at(1, comment(message="two", key="k"))
    survivor = verdicts(fresh_window(), first, second)[1].survivor
    assert survivor == Occurrence(0, first.headers["digest"], void=False)
    assert survivor is not None
    assert survivor.digest != second.headers["digest"]


@pytest.mark.parametrize(
    "other",
    [comment("other", key="k"), comment(author=BO, key="k"), comment(key="K")],
    ids=["video", "author", "key"],
)
def test_the_same_key_elsewhere_is_no_duplicate(other: NewRecord) -> None:
    assert kinds(at(0, comment(key="k")), at(1, other)) == [Kind.ACCEPTED, Kind.ACCEPTED]


def test_a_key_and_an_author_that_join_to_the_same_bytes_are_told_apart() -> None:
    one, two = at(0, comment(), author=b"cd", key=b"ab"), at(1, comment(), author=b"d", key=b"abc")
    nul = [at(2, comment(), author=b"y", key=b"x\0"), at(3, comment(), author=b"\0y", key=b"x")]
    assert kinds(one, two, *nul) == [Kind.ACCEPTED] * 4


def test_a_retry_is_recognised_w_records_later_and_no_further() -> None:
    assert kinds(at(7, comment(key="k")), at(7 + W, comment(key="k"))) == [Kind.ACCEPTED, Kind.DUPLICATE]
    assert kinds(at(7, comment(key="k")), at(8 + W, comment(key="k"))) == [Kind.ACCEPTED, Kind.ACCEPTED]


def test_a_duplicate_carries_its_key_on_past_its_survivors_window() -> None:
    chain = [at(offset, comment(key="k")) for offset in (0, W, 2 * W, 3 * W + 1)]
    assert kinds(*chain) == [Kind.ACCEPTED, Kind.DUPLICATE, Kind.DUPLICATE, Kind.ACCEPTED]


def test_a_comment_after_the_end_of_its_video_is_void() -> None:
    assert kinds(at(0, ended()), at(1, comment()), at(2, comment("other")), at(3, comment(key="k"))) == [
        Kind.ACCEPTED,
        Kind.VOID,
        Kind.ACCEPTED,
        Kind.VOID,
    ]


def test_a_video_that_starts_again_takes_comments_again() -> None:
    assert kinds(at(0, ended()), at(1, started()), at(2, comment())) == [Kind.ACCEPTED] * 3


def test_a_retry_of_a_void_comment_is_a_duplicate_of_a_void_one() -> None:
    void, retry = at(1, comment(key="k")), at(3, comment(key="k"))
    verdict = verdicts(fresh_window(), at(0, ended()), void, at(2, started()), retry)[3]
    assert verdict == Verdict(Kind.DUPLICATE, VIDEO, survivor=Occurrence(1, void.headers["digest"], void=True))


def test_an_end_holds_for_w_records_and_no_longer() -> None:
    assert kinds(at(0, ended()), at(W, comment())) == [Kind.ACCEPTED, Kind.VOID]
    assert kinds(at(0, ended()), at(W + 1, comment())) == [Kind.ACCEPTED, Kind.ACCEPTED]


def test_a_second_end_holds_from_its_own_place() -> None:
    records = at(0, ended()), at(3, ended()), at(4, ended("other")), at(7, comment()), at(8, comment())
    assert kinds(*records, size=4)[3:] == [Kind.VOID, Kind.ACCEPTED]


def test_ends_and_starts_and_deletes_are_accepted_however_often() -> None:
    records = [at(0, comment()), *(at(n, delete_of(0)) for n in (1, 2)), at(3, ended()), at(4, ended())]
    assert kinds(*records, at(5, started()), at(6, started())) == [Kind.ACCEPTED] * 7


def test_a_delete_names_the_position_it_deletes() -> None:
    assert judge(at(9, delete_of(4)), fresh_window()) == Verdict(Kind.ACCEPTED, VIDEO, target=position_at(EPOCH, 4))


def test_the_last_offset_of_an_epoch_is_judged_like_any_other() -> None:
    first, last = at(OFFSET_MAX - 1, comment(key="k")), at(OFFSET_MAX, comment(key="k"))
    survivor = verdicts(fresh_window(), first, last)[1].survivor
    assert survivor == Occurrence(OFFSET_MAX - 1, first.headers["digest"], void=False)
    alone = judge(at(OFFSET_MAX, comment(key="other")), fresh_window(since=OFFSET_MAX - W))
    assert alone.kind is Kind.ACCEPTED
    assert judge(at(OFFSET_MAX, delete_of(OFFSET_MAX - 1)), fresh_window()).kind is Kind.ACCEPTED


@pytest.mark.parametrize("kind", [None, b"", b"comment", b"COMMENT.CREATED", b"comment.edited", b"\xff"])
def test_a_record_of_an_unknown_type_is_skipped_whatever_else_it_holds(kind: bytes | None) -> None:
    unknown = at(1, comment(key="k"), type=kind)
    window = fresh_window()
    assert judge(unknown, window) == Verdict(Kind.UNKNOWN_TYPE)
    assert judge(unknown._replace(key=None, value=None), window) == Verdict(Kind.UNKNOWN_TYPE)
    assert judge(at(2, comment(key="k")), window).kind is Kind.ACCEPTED


@pytest.mark.parametrize("schema", [b"2", b"17", b"9999"])
@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_a_form_of_a_later_version_is_passed_over_whatever_else_it_holds(kind: bytes, schema: bytes) -> None:
    later = at(1, comment(key="k"), type=kind, schema=schema)
    window = fresh_window()
    for record in (
        later,
        later._replace(key=None),
        later._replace(value=None),
        later._replace(headers={"type": kind, "schema": schema}),
    ):
        assert judge(record, window) == Verdict(Kind.UNKNOWN_SCHEMA)
    assert judge(at(2, comment(key="k")), window).kind is Kind.ACCEPTED


# Unsound records

SOUND = comment(key="k")


def text_of(**members: object) -> bytes:
    """The value of a sound comment with some members replaced, or taken away where they are `...`."""
    value = {**orjson.loads(SOUND.value), **members}
    return orjson.dumps({name: member for name, member in value.items() if member is not ...})


UNSOUND: list[tuple[str, Record]] = [
    ("null_key_or_value", at(1, SOUND)._replace(key=None)),
    ("null_key_or_value", at(1, SOUND)._replace(value=None)),
    ("no_schema", at(1, SOUND, schema=None)),
    ("no_schema", at(1, SOUND, schema=b"")),
    ("no_schema", at(1, SOUND, schema=b"0")),
    ("no_schema", at(1, SOUND, schema=b"01")),
    ("no_schema", at(1, SOUND, schema=b"1\n")),
    ("no_schema", at(1, SOUND, schema=b"2\n")),
    ("no_schema", at(1, SOUND, schema=b"10000")),
    ("no_schema", at(1, SOUND, schema="²".encode())),
    ("no_author", at(1, SOUND, author=None)),
    ("no_author", at(1, SOUND, author=b"")),
    ("no_author", at(1, SOUND, author=b"a" * (AUTHOR_ID_BYTES_MAX + 1))),
    ("no_author", at(1, SOUND, author=b"\xff")),
    ("too_long", at(1, with_value(SOUND, text_of(message="m" * RECORD_VALUE_BYTES_MAX)))),
    ("not_one_json_line", at(1, with_value(SOUND, b""))),
    ("not_one_json_line", at(1, with_value(SOUND, b"{}"))),
    ("not_one_json_line", at(1, with_value(SOUND, b"null"))),
    ("not_one_json_line", at(1, with_value(SOUND, b"[" + SOUND.value + b"]"))),
    ("not_one_json_line", at(1, with_value(SOUND, b" " + SOUND.value))),
    ("not_one_json_line", at(1, with_value(SOUND, b"{ " + SOUND.value[1:]))),
    ("not_one_json_line", at(1, with_value(SOUND, b"\xef\xbb\xbf" + SOUND.value))),
    ("not_one_json_line", at(1, with_value(SOUND, SOUND.value + b"\n"))),
    ("not_one_json_line", at(1, with_value(SOUND, SOUND.value.replace(b",", b",\r", 1)))),
    ("not_one_json_line", at(1, with_value(SOUND, SOUND.value + b"\n\nevent: bye\n\n"))),
    ("foreign_key", at(1, SOUND)._replace(key=b"")),
    ("foreign_key", at(1, SOUND)._replace(key=b"..")),
    ("foreign_key", at(1, SOUND)._replace(key=b"caf\xc3\xa9")),
    ("foreign_key", at(1, SOUND)._replace(key=b"a/b")),
    ("foreign_key", at(1, SOUND)._replace(key=b"launch\n")),
    ("foreign_key", at(1, SOUND)._replace(key=b"v" * 65)),
    ("foreign_key", at(1, SOUND)._replace(key=b"v" * 2**20)),
    ("not_json", at(1, with_value(SOUND, b'{"'))),
    ("not_json", at(1, with_value(SOUND, SOUND.value + b"}"))),
    ("not_json", at(1, with_value(SOUND, SOUND.value[:-1]))),
    ("not_json", at(1, with_value(SOUND, text_of(message="x").replace(b'"x"', b"NaN")))),
    ("not_json", at(1, with_value(SOUND, text_of(message="x").replace(b'"x"', b'"\xff"')))),
    ("not_json", at(1, with_value(SOUND, text_of(message="x").replace(b'"x"', b'"\\ud800"')))),
    ("not_json", at(1, with_value(SOUND, b'{"a":' * 2_000 + b"1" + b"}" * 2_000))),
    ("not_a_comment", at(1, with_value(SOUND, b'{"":0}'))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(videoId="other")))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(videoId=...)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(message=...)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(message=7)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(createdAt=...)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(createdAt=NOON_MS)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(author=...)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(author="ana")))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(author={"id": "ana"})))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(author={"displayName": "Ana"})))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(videoTimeMs=None)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(videoTimeMs=-1)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(videoTimeMs=1.5)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(videoTimeMs=True)))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(commentId=comment_id(position_at(1, 0), 0))))),
    ("not_a_comment", at(1, with_value(SOUND, text_of(commentId=None)))),
    ("no_key", at(1, SOUND, key=b"")),
    ("no_key", at(1, SOUND, key=b"k" * (IDEMPOTENCY_KEY_CHARS_MAX + 1))),
    ("no_digest", at(1, SOUND, digest=None)),
    ("no_digest", at(1, SOUND, digest=b"d" * 15)),
    ("no_target", at(1, with_value(delete_of(0), b'{"commentId":7}'))),
    ("no_target", at(1, with_value(delete_of(0), b'{"target":"000g000000000000"}'))),
    ("no_target", at(1, with_value(delete_of(0), b'{"commentId":"0"}'))),
    ("no_target", at(1, delete_of(0, epoch=0))),
    ("no_target", at(1, delete_of(OFFSET_MAX, epoch=0))),
    ("target_not_earlier", at(1, delete_of(1))),
    ("target_not_earlier", at(1, delete_of(2))),
    ("target_not_earlier", at(1, delete_of(0, epoch=EPOCH + 1))),
    ("target_not_earlier", at(1, delete_of(0, epoch=EPOCH_MAX))),
    ("target_not_earlier", at(1, delete_of(0, partition=1))),
    ("not_json", at(1, with_value(delete_of(0), b'{"commentId":'))),
    ("not_a_video_event", at(1, with_value(ended(), b'{"videoId":"other"}'))),
    ("not_a_video_event", at(1, with_value(started(), b'{"video":"launch"}'))),
    ("not_json", at(1, with_value(ended(), b'{"videoId":}'))),
    ("not_one_json_line", at(1, with_value(ended(), b'{"videoId":\n"launch"}'))),
]


@pytest.mark.parametrize(("reason", "record"), UNSOUND, ids=[f"{n}-{case[0]}" for n, case in enumerate(UNSOUND)])
def test_an_unsound_record_is_invalid_for_its_reason(reason: str, record: Record) -> None:
    assert judge(record, fresh_window()) == Verdict(Kind.INVALID, reason=reason)


@pytest.mark.parametrize("record", [record for _, record in UNSOUND])
def test_an_unsound_record_leaves_no_trace_in_the_window(record: Record) -> None:
    assert kinds(record, at(2, comment(key="k")), at(3, comment())) == [Kind.INVALID, Kind.ACCEPTED, Kind.ACCEPTED]


def test_the_longest_sound_envelope_is_accepted() -> None:
    message = "m" * (RECORD_VALUE_BYTES_MAX - len(text_of(message="")))
    longest = with_value(SOUND, text_of(message=message))
    assert len(longest.value) == RECORD_VALUE_BYTES_MAX
    record = at(1, longest, author=b"a" * AUTHOR_ID_BYTES_MAX, key=b"k" * IDEMPOTENCY_KEY_CHARS_MAX)
    assert judge(record, fresh_window()).kind is Kind.ACCEPTED


def test_a_video_that_lives_in_another_partition_is_a_foreign_key() -> None:
    home = partition_of(VIDEO, 64)
    elsewhere = (home + 1) % 64
    for partition, kind in ((home, Kind.ACCEPTED), (elsewhere, Kind.INVALID)):
        window = Window(EPOCH, partition, 64, since=0, whole=True)
        assert judge(at(0, comment())._replace(partition=partition), window).kind is kind


def test_a_corrupt_record_is_named_for_who_must_act_and_tells_its_reason() -> None:
    error = RecordCorrupt("too_long")
    assert isinstance(error, Corrupt)
    assert (str(error), error.reason) == ("too_long", "too_long")


@given(st.binary(max_size=200), st.binary(max_size=20), st.dictionaries(st.text(max_size=6), st.binary(max_size=20)))
def test_no_bytes_make_judge_raise(value: bytes, key: bytes, headers: dict[str, bytes]) -> None:
    for kind in EVENT_TYPES:
        base = {"type": kind, "schema": b"1", "author": b"a"}
        for sent in (headers, {**base, **headers}):
            judge(Record(PARTITION, 5, key, value, sent, NOON_MS), fresh_window())
            judge(Record(PARTITION, 5, VIDEO.encode(), b'{"' + value, sent, NOON_MS), fresh_window())


# Ids cannot be forged


@st.composite
def escaped_names(draw: st.DrawFn) -> str:
    """A JSON string, quotes included, that may spell a member's name with escapes."""
    name = draw(st.sampled_from(["commentId", "commentID", "comment", "videoId", "message", "x"]))
    return '"' + "".join(f"\\u{ord(c):04x}" if draw(st.booleans()) else c for c in name) + '"'


MEMBERS = st.lists(
    st.tuples(escaped_names(), st.sampled_from(['"launch"', '"x"', "1", '{"commentId":"y"}'])), max_size=4
)


@given(MEMBERS, MEMBERS)
def test_whatever_a_value_holds_the_rendered_comment_has_one_id_and_it_is_ours(
    before: list[tuple[str, str]], after: list[tuple[str, str]]
) -> None:
    inside = SOUND.value[1:-1].decode()
    members = [f"{name}:{value}" for name, value in before], [inside], [f"{name}:{value}" for name, value in after]
    value = ("{" + ",".join(part for group in members for part in group) + "}").encode()
    verdict = judge(at(1, with_value(SOUND, value)), fresh_window())
    names = [json.loads(name) for name, _ in before + after]
    assert verdict.kind is Kind.INVALID or "commentId" not in names
    if verdict.kind is Kind.ACCEPTED:
        ours = comment_id(position_at(EPOCH, 1), PARTITION)
        pairs = json.loads(render_comment(ours, value), object_pairs_hook=list)
        assert [member for name, member in pairs if name == "commentId"] == [ours]


@pytest.mark.parametrize(
    "member", [b'"commentId":"x"', b'"comm\\u0065ntId":"x"', b'"\\u0063omment\\u0049d":null', b'"commentId":"x","a":1']
)
def test_an_id_hidden_behind_escapes_makes_the_record_invalid(member: bytes) -> None:
    for value in (b"{" + member + b"," + SOUND.value[1:], SOUND.value[:-1] + b"," + member + b"}"):
        assert judge(at(1, with_value(SOUND, value)), fresh_window()).reason == "not_a_comment"


# All readers agree

SIZES = range(1, 9)
LOGS_PER_SIZE = 300
LOG_RECORDS = 50


@cache
def logs() -> list[tuple[int, list[Entry], int]]:
    """A window size, a log, and the offset in its first half where a late reader starts."""
    made = []
    for size in SIZES:
        dice = random.Random(size)
        for _ in range(LOGS_PER_SIZE):
            log = random_log(dice, LOG_RECORDS)
            made.append((size, log, dice.randrange(log[LOG_RECORDS // 2].offset)))
    return made


def full_and_late(
    log: list[Entry], size: int, start: int, make: type[Window] = Window
) -> tuple[dict[int, Verdict], dict[int, Verdict], Window]:
    """The verdicts of a reader from the log's beginning and of one that starts at offset `start`, by offset."""
    full = make(EPOCH, PARTITION, 1, since=0, whole=True, size=size)
    late = make(EPOCH, PARTITION, 1, since=start, whole=False, size=size)
    of_full = {entry.offset: judge(entry.record, full) for entry in log}
    of_late = {entry.offset: judge(entry.record, late) for entry in log if entry.offset >= start}
    return of_full, of_late, late


def disagreements(make: type[Window]) -> int:
    """In how many logs a late reader's kinds differ from a full reader's, a window after the late one started."""
    differing = 0
    for size, log, start in logs():
        of_full, of_late, _ = full_and_late(log, size, start, make)
        differing += any(of_full[offset].kind != of_late[offset].kind for offset in of_late if offset >= start + size)
    return differing


def test_a_reader_that_starts_a_window_back_agrees_with_one_that_read_everything() -> None:
    assert disagreements(Window) == 0


class AcceptedOnlyWindow(Window):
    """The planted bug: a duplicate is not remembered, so only accepted occurrences count."""

    def note_comment(self, video_id: str, author: bytes, key: bytes, offset: int, digest: bytes) -> Occurrence | None:
        before = self.occurrence(video_id, author, key, offset)
        return before or super().note_comment(video_id, author, key, offset, digest)


def test_the_comparison_catches_readers_that_count_only_accepted_occurrences() -> None:
    assert disagreements(AcceptedOnlyWindow) > 50


def test_every_verdict_follows_the_words_of_the_definition() -> None:
    seen: set[Kind] = set()
    for size, log, _ in logs():
        window = fresh_window(size=size)
        for index, entry in enumerate(log):
            verdict = judge(entry.record, window)
            assert verdict.kind is kind_of(log, index, size)
            if verdict.survivor is not None:
                survivor = next(other for other in log if other.offset == verdict.survivor.survivor)
                assert survivor.offset == survivor_of(log, index, size)
                assert verdict.survivor.digest == survivor.record.headers["digest"]
                assert verdict.survivor.void is (kind_of(log, log.index(survivor), size) is Kind.VOID)
            seen.add(verdict.kind)
    assert seen == set(Kind)


def test_a_late_readers_survivor_is_the_full_readers_whenever_the_window_is_sure_of_it() -> None:
    sure = unsure_and_wrong = 0
    for size, log, start in logs():
        of_full, of_late, late = full_and_late(log, size, start)
        for offset, verdict in of_late.items():
            if offset < start + size or verdict.survivor is None:
                continue
            if late.is_sure(verdict.survivor.survivor):
                assert verdict == of_full[offset]
                sure += 1
            else:
                unsure_and_wrong += verdict != of_full[offset]
    assert sure > 1_000
    assert unsure_and_wrong > 10  # so that `is_sure` is worth asking


def test_a_late_reader_is_sure_of_what_it_calls_new() -> None:
    window = fresh_window(since=100, whole=False, size=8)
    assert [window.is_sure(offset) for offset in (100, 107, 108, 109)] == [False, False, True, True]
    assert fresh_window(since=100, whole=True, size=8).is_sure(100)


@given(st.integers(0, 2**32), st.integers(1, 100), st.integers(0, 80))
def test_readers_agree_on_any_window_and_any_start(seed: int, size: int, start: int) -> None:
    log = random_log(random.Random(seed), 100)
    of_full, of_late, _ = full_and_late(log, size, start)
    assert all(of_full[offset].kind is of_late[offset].kind for offset in of_late if offset >= start + size)
