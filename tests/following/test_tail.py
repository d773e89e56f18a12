"""What the tail promises: within its bounds it is the whole truth, exactly from `after` on."""

import gc
from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livecomments.following.tail import Entry, Tail, TailBounds
from livecomments_schemas.events import COMMENT_CREATED, COMMENT_DELETED, VIDEO_ENDED
from livecomments_schemas.positions import comment_id, first_position

START: Final = first_position(1)
ENDLESS: Final = 10**9


def tail(records: int = ENDLESS, size: int = ENDLESS, age_s: float = ENDLESS, after: int = START - 1) -> Tail:
    return Tail(TailBounds(records, size, age_s), after)


def comment(at: int, video: str = "v", text: bytes = b'{"message":"hi"}', read_at: float = 0.0) -> Entry:
    return Entry(START + at, 0, COMMENT_CREATED, video, "ana", text, read_at=read_at)


def delete(at: int, target: int, video: str = "v") -> Entry:
    value = b'{"commentId":"%s"}' % comment_id(START + target, 0).encode()
    return Entry(START + at, 0, COMMENT_DELETED, video, "ana", value, target=START + target)


def filled(made: Tail, *entries: Entry) -> Tail:
    for entry in entries:
        made.append(entry, entry.read_at)
    return made


def offsets(entries: list[Entry] | Iterator[Entry]) -> list[int]:
    return [entry.position - START for entry in entries]


def test_more_records_than_the_bound_leave_from_the_oldest() -> None:
    made = filled(tail(records=3), *map(comment, (2, 3, 5, 8, 9)))
    assert len(made) == 3
    assert made.after == START + 3
    assert offsets(made.forward("v", made.after, 10)) == [5, 8, 9]


def test_more_bytes_than_the_bound_leave_from_the_oldest() -> None:
    one = filled(tail(), comment(0, text=b"x" * 1_000)).bytes
    made = filled(tail(size=3 * one), *(comment(at, text=b"x" * 1_000) for at in range(4)))
    assert made.after == START
    assert made.bytes == 3 * one


def test_an_entry_larger_than_the_bound_does_not_stay() -> None:
    made = filled(tail(size=1_000), comment(0), comment(1, text=b"x" * 2_000))
    assert len(made) == 0
    assert made.bytes == 0
    assert made.after == START + 1


def test_older_records_than_the_bound_leave_with_the_next_one() -> None:
    made = filled(tail(age_s=10), comment(0, read_at=100.0), comment(1, read_at=105.0), comment(2, read_at=110.0))
    assert len(made) == 3
    made.append(comment(3, read_at=115.5), 115.5)
    assert offsets(made.forward("v", made.after, 10)) == [2, 3]


def test_older_records_than_the_bound_leave_without_a_next_one() -> None:
    made = filled(tail(age_s=10), comment(0, read_at=100.0), comment(1, read_at=105.0))
    made.trim(110.0)
    assert len(made) == 2
    made.trim(115.1)
    assert len(made) == 0
    assert made.after == START + 1


def test_a_new_tail_begins_where_it_is_told() -> None:
    made = tail(after=START + 41)
    assert made.after == START + 41
    assert made.forward("v", START + 41, 10) == []
    assert offsets(filled(made, comment(50)).forward("v", START + 41, 10)) == [50]
    assert made.after == START + 41, "what lies between was judged and not accepted"


def test_forward_is_exclusive_and_limited() -> None:
    made = filled(tail(), *map(comment, (2, 4, 6, 8)))
    assert offsets(made.forward("v", START + 3, 10)) == [4, 6, 8]
    assert offsets(made.forward("v", START + 4, 10)) == [6, 8]
    assert offsets(made.forward("v", START + 4, 1)) == [6]
    assert offsets(made.forward("v", START + 8, 10)) == []
    assert offsets(made.forward("v", START + 100, 10)) == []
    assert offsets(made.forward("other", START - 1, 10)) == []


def test_backward_is_exclusive_and_newest_first() -> None:
    made = filled(tail(), *map(comment, (2, 4, 6, 8)))
    assert offsets(made.backward("v", START + 7)) == [6, 4, 2]
    assert offsets(made.backward("v", START + 6)) == [4, 2]
    assert offsets(made.backward("v", START + 2)) == []
    assert offsets(made.backward("v", START + 100)) == [8, 6, 4, 2]
    assert offsets(made.backward("other", START + 100)) == []


def test_a_delete_takes_the_text_of_its_comment() -> None:
    made = filled(tail(), comment(0), comment(1), delete(2, 0))
    gone, kept, by = made.forward("v", START - 1, 10)
    assert gone.value == b""
    assert not gone.is_shown
    assert kept.is_shown
    assert by.value, "what was said of the delete itself stays"
    assert made.deleted("v") == {START}


def test_a_delete_of_another_video_takes_nothing() -> None:
    made = filled(tail(), comment(0, "a"), delete(1, 0, "b"))
    assert made.forward("a", START - 1, 10)[0].is_shown
    assert made.deleted("a") == set()


def test_a_delete_of_what_is_no_comment_takes_nothing() -> None:
    ended = Entry(START, 0, VIDEO_ENDED, "v", "ana", b'{"videoId":"v"}')
    made = filled(tail(), ended, delete(1, 0))
    assert made.forward("v", START - 1, 10)[0].value


def test_a_delete_stays_known_until_it_leaves_itself() -> None:
    made = filled(tail(records=2), comment(0), delete(1, 0), comment(2))
    assert made.deleted("v") == {START}
    made.append(comment(3), 0.0)
    assert made.deleted("v") == set()


def test_comments_may_be_erased_for_a_delete_that_lies_elsewhere() -> None:
    made = filled(tail(), comment(0), comment(1), comment(2, "other"))
    before = made.bytes
    made.erase("v", [START, START + 2, START + 77])
    assert offsets(entry for entry in made.forward("v", START - 1, 9) if not entry.is_shown) == [0]
    assert made.forward("other", START - 1, 9)[0].is_shown
    assert made.bytes < before


def test_an_entry_is_found_wherever_records_were_refused_between() -> None:
    accepted = [0, 1, 5, 6, 7, 40, 41, 90]
    made = filled(tail(), *map(comment, accepted))
    found = [made.find(START + at) for at in range(-2, 95)]
    assert offsets(entry for entry in found if entry is not None) == accepted
    made.forget(START + 5)
    assert [made.find(START + at) for at in (0, 5, 40, 90)] == [None, None, *made.forward("v", START + 7, 9)[::2]]


def test_forgetting_moves_the_beginning_even_where_nothing_is() -> None:
    made = filled(tail(), *map(comment, (2, 4)))
    made.forget(START + 2)
    assert made.after == START + 2
    assert offsets(made.forward("v", START + 2, 9)) == [4]
    made.forget(START + 9)
    assert made.after == START + 9
    assert len(made) == 0
    made.forget(START + 1)
    assert made.after == START + 9


def test_an_entry_is_found_by_its_position_while_it_is_there() -> None:
    first, second = comment(3), comment(5)
    made = filled(tail(records=1), first)
    assert made.find(START + 3) is first
    made.append(second, 0.0)
    assert made.find(START + 3) is None
    assert made.find(START + 5) is second
    assert made.find(START + 4) is None


def test_what_was_dropped_is_not_kept_in_memory() -> None:
    video = "of this test alone"
    made = filled(tail(records=200), *(comment(at, video, b"%d" % at * 50) for at in range(900)))
    gc.collect()
    alive = [one for one in gc.get_objects() if type(one) is Entry and one.video_id == video]
    assert len(made) == 200
    assert len(alive) == 200


@pytest.mark.parametrize("videos", [1, 7])
def test_memory_is_accounted_for_to_the_last_byte(videos: int) -> None:
    made = tail()
    for at in range(2_000):
        made.append(delete(at, at - 5, f"v{at % videos}") if at % 9 == 8 else comment(at, f"v{at % videos}"), 0.0)
    made.forget(START + 1_999)
    assert made.bytes == 0
    assert len(made) == 0
    assert made.forward("v0", made.after, 1) == []


@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), st.integers(1, 6)), min_size=30, max_size=700),
)
@settings(deadline=None, max_examples=60)
def test_a_tail_is_the_end_of_the_list_of_everything(records: int, steps: list[tuple[str, bool, int]]) -> None:
    """Long enough that the lists of a video are cut, with deletes of every age."""
    made, everything, gone = tail(records=records), list[Entry](), set[int]()
    for at, (video, is_delete, back) in enumerate(steps * 3):
        entry = delete(at, max(0, at - back * back), video) if is_delete and at else comment(at, video)
        made.append(entry, 0.0)
        everything.append(entry)
        if entry.target and everything[entry.target - START].video_id == video:
            gone.add(entry.target)
    newest = everything[-records:]
    assert made.after == (everything[-records - 1].position if len(everything) > records else START - 1)
    for video in "ab":
        wanted = [entry for entry in newest if entry.video_id == video]
        assert made.forward(video, made.after, ENDLESS) == wanted
        assert list(made.backward(video, START + ENDLESS)) == wanted[::-1]
        assert made.deleted(video) == {entry.target for entry in wanted if entry.kind == COMMENT_DELETED}
        assert [entry.is_shown for entry in wanted] == [
            entry.kind == COMMENT_CREATED and entry.position not in gone for entry in wanted
        ]
