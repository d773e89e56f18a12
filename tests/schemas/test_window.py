"""What a partition's newest records leave in memory: right at any size, and small."""

import random
import tracemalloc

import pytest

from livecomments_schemas.events import Record
from livecomments_schemas.judge import judge
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS
from livecomments_schemas.positions import OFFSET_MAX
from livecomments_schemas.window import Occurrence, Window

from .records import at, comment, ended, fresh_window, started

W = DEDUPE_WINDOW_RECORDS
ENTRY_BYTES_MAX = 64


def digest_of(offset: int) -> bytes:
    return offset.to_bytes(16, "big")


def note(window: Window, key: int, offset: int) -> Occurrence | None:
    return window.note_comment("launch", b"ana", b"%d" % key, offset, digest_of(offset))


def recall(window: Window, key: int, offset: int) -> Occurrence | None:
    return window.occurrence("launch", b"ana", b"%d" % key, offset)


@pytest.mark.parametrize("size", [1, 2, 5, 63, 64, 65, 100, 127, 128, 1_000, W])
@pytest.mark.parametrize("gap", [1, 3])
def test_the_newest_occurrence_within_any_size_is_found_and_no_older_one(size: int, gap: int) -> None:
    dice = random.Random(size)
    window = fresh_window(size=size)
    last: dict[int, int] = {}
    survivor: dict[int, int] = {}
    keys = max(2, int(size / gap * 1.5))
    for offset in range(0, 4 * size * gap + 200, gap):
        key = dice.randrange(keys)
        known = key in last and offset - last[key] <= size
        survivor[key] = survivor[key] if known else offset
        expected = Occurrence(survivor[key], digest_of(survivor[key]), void=False) if known else None
        assert recall(window, key, offset) == expected
        assert note(window, key, offset) == expected
        last[key] = offset


@pytest.mark.parametrize("size", [5, 64, 100, W])
def test_every_key_of_a_full_window_is_found_after_the_ring_has_grown(size: int) -> None:
    window = fresh_window(size=size)
    for offset in range(3 * size):
        assert note(window, offset, offset) is None
    for key in range(3 * size):
        found = recall(window, key, 3 * size)
        assert (found is not None) is (key >= 2 * size)
        assert found is None or found.survivor == key


def test_a_ring_that_grew_after_it_went_round_keeps_what_is_inside() -> None:
    offsets = [*range(0, 640, 10), *range(640, 760), *range(1_000, 1_090)]
    for keys_from in range(0, 20_000, 1_000):  # other keys share other chains
        window = fresh_window(size=100)
        for offset in offsets:
            note(window, keys_from + offset, offset)
            for before in range(offset - 120, offset + 1):
                found = recall(window, keys_from + before, offset + 1)
                assert (found is not None) is (before in offsets and offset + 1 - before <= 100)


def test_a_copy_of_a_comment_that_left_the_window_is_no_room_for_others() -> None:
    window = fresh_window(size=100)
    for offset in range(0, 901, 90):
        note(window, 1, offset)  # each a copy of the one before, and all of the first
    for offset in range(901, 970):
        note(window, offset, offset)
    assert recall(window, 1, 970) == Occurrence(0, digest_of(0), void=False)


def test_the_last_offset_fits_with_the_void_mark_beside_it() -> None:
    window = fresh_window(since=OFFSET_MAX - W)
    window.note_video("launch", OFFSET_MAX - 1, ended=True)
    assert note(window, 1, OFFSET_MAX) is None
    assert recall(window, 1, OFFSET_MAX + 1) == Occurrence(OFFSET_MAX, digest_of(OFFSET_MAX), void=True)


def test_asking_for_an_occurrence_remembers_nothing() -> None:
    window = fresh_window()
    assert recall(window, 1, 5) is None
    assert recall(window, 1, 6) is None


def test_a_video_is_ended_from_its_end_to_its_start_and_within_the_window() -> None:
    window = fresh_window(size=10)
    window.note_video("a", 0, ended=True)
    window.note_video("b", 1, ended=True)
    window.note_video("a", 4, ended=False)
    assert [window.is_ended(video_id, 5) for video_id in ("a", "b", "c")] == [False, True, False]
    window.note_video("a", 6, ended=True)
    assert [window.is_ended("a", offset) for offset in (7, 16, 17)] == [True, True, False]
    assert [window.is_ended("b", offset) for offset in (11, 12)] == [True, False]


def test_an_end_noted_again_outlives_the_pruning_of_the_first() -> None:
    window = fresh_window(size=4)
    window.note_video("a", 0, ended=True)
    window.note_video("a", 3, ended=True)
    window.note_video("b", 6, ended=True)  # prunes offset 0
    assert [window.is_ended("a", offset) for offset in (7, 8)] == [True, False]


def bytes_held(records: list[Record], window: Window) -> int:
    """What `window` holds after judging `records` twice over, less what it held before."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for record in records:
            judge(record, window)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


def test_a_full_window_of_keyed_comments_takes_at_most_64_bytes_an_entry() -> None:
    judge(at(0, comment()), fresh_window())  # what is cached for every window is not this one's
    template = at(0, comment())
    digest = template.headers["digest"]
    window = fresh_window()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for offset in range(2 * W):
            window.note_comment("launch", b"ana", b"%d" % offset, offset, digest)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert window.occurrence("launch", b"ana", b"%d" % W, 2 * W) is not None
    assert window.occurrence("launch", b"ana", b"%d" % (W - 1), 2 * W) is None
    assert after - before <= ENTRY_BYTES_MAX * W
    assert peak - before <= 1.5 * ENTRY_BYTES_MAX * W  # while it doubles


def test_comments_without_a_key_take_no_memory() -> None:
    records = [at(offset, comment()) for offset in range(3_000)]
    judge(records[0], fresh_window())
    assert bytes_held(records, fresh_window()) < 512


def test_videos_that_end_and_start_again_are_forgotten_with_the_window() -> None:
    names = [f"video-{n}" for n in range(50)]
    records = [
        at(offset, (started if offset % 7 == 0 else ended)(names[offset % len(names)])) for offset in range(20_000)
    ]
    for name in names:
        judge(at(0, comment(name)), fresh_window())
    assert bytes_held(records, fresh_window(size=100)) < 50_000
