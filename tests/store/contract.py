"""What every `CommentStore` promises, as tests. A subclass is collected where a fixture `store` gives the store."""

import itertools
import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from livecomments.store.interface import AuthorScan, CommentStore, KeptLog, Row, StoredSlice
from livecomments_schemas.events import VIDEO_ENDED
from livecomments_schemas.positions import (
    BEFORE_EVERYTHING,
    EPOCH_MAX,
    OFFSET_MAX,
    PARTITION_MAX,
    first_position,
    position_at,
)
from tests.store.examples import BUCKET, END, START, comment, delete, emptied, new_partition, new_video

_SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.differing_executors]
"""Each example has a video of its own, so sharing the store is harmless; the suite is one, its subclasses are many."""
EXAMPLES_MAX = 30
"""Random logs a run; on a real server each costs some ten round trips."""


class StoreContract:
    """The suite. Videos and partitions are new in each test, so one server serves all."""

    async def test_rows_come_back_in_both_orders(self, store: CommentStore) -> None:
        video = new_video()
        rows = [comment(video, START + offset) for offset in (0, 1, 5, 900)]
        await store.write(rows)
        assert await store.read(video, START - 1, END, 10, descending=False) == StoredSlice(rows, END)
        assert await store.read(video, START - 1, END, 10, descending=True) == StoredSlice(rows[::-1], START)

    async def test_rows_of_neighbouring_buckets_join_in_order(self, store: CommentStore) -> None:
        video = new_video()
        offsets = (BUCKET - 2, BUCKET - 1, BUCKET, BUCKET + 1, 2 * BUCKET - 1, 2 * BUCKET)
        rows = [comment(video, START + offset) for offset in offsets]
        await store.write(rows)
        for limit in range(1, 8):
            up = await store.read(video, START - 1, END, limit, descending=False)
            down = await store.read(video, START - 1, END, limit, descending=True)
            assert up.rows == rows[:limit]
            assert down.rows == rows[::-1][:limit]

    async def test_a_full_slice_examined_as_far_as_its_last_row(self, store: CommentStore) -> None:
        video = new_video()
        await store.write([comment(video, START + offset) for offset in range(5)])
        up = await store.read(video, START - 1, END, 3, descending=False)
        down = await store.read(video, START - 1, END, 3, descending=True)
        assert (len(up.rows), up.examined) == (3, START + 2)
        assert (len(down.rows), down.examined) == (3, START + 2)

    async def test_a_slice_that_is_full_with_the_last_row_there_is_claims_no_more(self, store: CommentStore) -> None:
        video = new_video()
        await store.write([comment(video, START + 7)])
        assert (await store.read(video, START - 1, END, 1, descending=False)).examined == START + 7
        assert (await store.read(video, START - 1, END, 1, descending=True)).examined == START + 7

    async def test_a_slice_that_is_not_full_examined_the_whole_range(self, store: CommentStore) -> None:
        video = new_video()
        await store.write([comment(video, START + 5 * BUCKET)])
        after, through = START + 10, START + 9 * BUCKET
        assert (await store.read(video, after, through, 2, descending=False)).examined == through
        assert (await store.read(video, after, through, 2, descending=True)).examined == after + 1

    async def test_after_is_exclusive_and_through_is_inclusive(self, store: CommentStore) -> None:
        video = new_video()
        rows = [comment(video, START + BUCKET - 3 + offset) for offset in range(6)]
        await store.write(rows)
        for first, last in itertools.combinations_with_replacement(range(6), 2):
            after, through = rows[first].position, rows[last].position
            up = await store.read(video, after, through, 10, descending=False)
            down = await store.read(video, after, through, 10, descending=True)
            assert up.rows == rows[first + 1 : last + 1]
            assert down.rows == rows[first + 1 : last + 1][::-1]

    async def test_an_empty_range_is_examined_and_moves_no_cursor_back(self, store: CommentStore) -> None:
        video = new_video()
        await store.write([comment(video, START + 5)])
        for through in (START + 5, START + 2):
            assert await store.read(video, START + 5, through, 10, descending=False) == StoredSlice([], START + 5)
            assert await store.read(video, START + 5, through, 10, descending=True) == StoredSlice([], through + 1)

    async def test_a_limit_of_zero_examines_nothing(self, store: CommentStore) -> None:
        video = new_video()
        await store.write([comment(video, START + 5)])
        assert await store.read(video, START, END, 0, descending=False) == StoredSlice([], START)
        assert await store.read(video, START, END, 0, descending=True) == StoredSlice([], END + 1)

    async def test_an_unknown_video_is_an_empty_slice(self, store: CommentStore) -> None:
        assert await store.read(new_video(), BEFORE_EVERYTHING, END, 10, descending=False) == StoredSlice([], END)
        assert await store.read(new_video(), START, END, 10, descending=True) == StoredSlice([], START + 1)

    async def test_writing_no_rows_does_nothing(self, store: CommentStore) -> None:
        await store.write([])

    async def test_a_video_with_a_row_a_bucket_is_read_whole(self, store: CommentStore) -> None:
        video = new_video()
        buckets = [*range(90), 1_000, 5_000, 200_000]
        rows = [comment(video, START + bucket * BUCKET + bucket % 7) for bucket in buckets]
        await store.write(rows)
        assert (await store.read(video, START - 1, END, 1_000, descending=False)).rows == rows
        assert (await store.read(video, START - 1, END, 1_000, descending=True)).rows == rows[::-1]

    async def test_pages_that_follow_examined_give_every_row_once(self, store: CommentStore) -> None:
        video = new_video()
        random_ = random.Random(7)
        offsets = sorted(random_.sample(range(3 * BUCKET), 40) + random_.sample(range(2_000), 40))
        rows = [comment(video, START + offset) for offset in offsets]
        await store.write(rows)
        up: list[Row] = []
        after = START - 1
        while after < END:
            slice_ = await store.read(video, after, END, 7, descending=False)
            up += slice_.rows
            after = slice_.examined
        down: list[Row] = []
        through = END
        while through > START - 1:
            slice_ = await store.read(video, START - 1, through, 7, descending=True)
            down += slice_.rows
            through = slice_.examined - 1
        assert up == rows
        assert down == rows[::-1]

    async def test_a_large_limit_gives_thousands_of_rows(self, store: CommentStore) -> None:
        video = new_video()
        rows = [comment(video, START + BUCKET - 3_000 + offset) for offset in range(6_500)]
        await store.write(rows)
        assert await store.read(video, START - 1, END, 100_000, descending=False) == StoredSlice(rows, END)
        assert (await store.read(video, START - 1, END, 5_000, descending=True)).rows == rows[::-1][:5_000]

    async def test_videos_do_not_see_each_other(self, store: CommentStore) -> None:
        one, other = new_video(), new_video()
        await store.write([comment(one, START + 1), comment(other, START + 2), comment(one, START + 3)])
        found = await store.read(one, START - 1, END, 10, descending=False)
        assert [row.position for row in found.rows] == [START + 1, START + 3]
        assert await store.read_one(one, START + 2) is None

    async def test_every_kind_is_a_row_and_only_comments_are_shown(self, store: CommentStore) -> None:
        video = new_video()
        ended = Row(video, START + 9, VIDEO_ENDED, "owner", b'{"videoId":"x"}', 1)
        await store.write([comment(video, START), delete(video, START + 4, START), ended, comment(video, START + 8)])
        found = await store.read(video, START - 1, END, 10, descending=False)
        assert [row.is_shown for row in found.rows] == [False, False, True, False]
        assert found.rows[3] == ended

    async def test_values_and_authors_come_back_byte_for_byte(self, store: CommentStore) -> None:
        video = new_video()
        values = [
            b"\x00",
            bytes(range(256)),
            "ß 👩‍👩‍👧 \u202e שלום".encode(),
            b"{" + b"x" * 16_000 + b"}",
            b"'\"\\;--",
            b"",
        ]
        authors = ["a", "Ünï👩‍👩‍👧", "a'b\"c", "x" * 128, "\u202e", "nul\x00in"]
        rows = [
            comment(video, START + index)._replace(value=value, author_id=author)
            for index, (value, author) in enumerate(zip(values, authors, strict=True))
        ]
        await store.write(rows)
        assert (await store.read(video, START - 1, END, 10, descending=False)).rows == rows

    async def test_many_large_values_are_one_write(self, store: CommentStore) -> None:
        video = new_video()
        rows = [comment(video, START + offset)._replace(value=b"%d" % offset * 4_000) for offset in range(130)]
        await store.write(rows)
        assert (await store.read(video, START - 1, END, 200, descending=False)).rows == rows

    async def test_positions_reach_to_the_last_offset_of_the_last_epoch(self, store: CommentStore) -> None:
        video = new_video()
        rows = [
            comment(video, first_position(1)),
            comment(video, position_at(1, OFFSET_MAX)),
            comment(video, first_position(EPOCH_MAX)),
            comment(video, position_at(EPOCH_MAX, OFFSET_MAX)),
        ]
        rows.insert(3, delete(video, rows[3].position - 1, rows[2].position))
        await store.write(rows)
        rows[2] = emptied(rows[2])
        through = position_at(EPOCH_MAX, OFFSET_MAX)
        assert await store.read(video, BEFORE_EVERYTHING, through, 9, descending=False) == StoredSlice(rows, through)
        assert (await store.read(video, BEFORE_EVERYTHING, through, 9, descending=True)).rows == rows[::-1]

    async def test_read_one_finds_a_row_and_only_at_its_position(self, store: CommentStore) -> None:
        video = new_video()
        row = comment(video, START + BUCKET)
        await store.write([row])
        assert await store.read_one(video, row.position) == row
        assert await store.read_one(video, row.position - 1) is None
        assert await store.read_one(new_video(), row.position) is None

    async def test_a_delete_empties_its_target_and_stands_at_its_own_position(self, store: CommentStore) -> None:
        video = new_video()
        row, gone = comment(video, START), delete(video, START + 2 * BUCKET, START)
        await store.write([row])
        await store.write([gone])
        assert (await store.read(video, START - 1, END, 10, descending=False)).rows == [emptied(row), gone]
        assert await store.read_one(video, START) == emptied(row)

    async def test_a_comment_and_its_delete_in_one_write_end_deleted(self, store: CommentStore) -> None:
        video = new_video()
        row, gone = comment(video, START), delete(video, START + 1, START)
        await store.write([gone, row])
        assert (await store.read(video, START - 1, END, 10, descending=False)).rows == [emptied(row), gone]

    async def test_a_replay_does_not_bring_a_deleted_text_back(self, store: CommentStore) -> None:
        video = new_video()
        row, gone = comment(video, START), delete(video, START + 1, START)
        for rows in ([row], [gone], [row], [row, row], [gone], [row]):
            await store.write(rows)
        assert await store.read_one(video, START) == emptied(row)

    async def test_a_delete_before_its_comment_is_a_row_that_nobody_sees(self, store: CommentStore) -> None:
        video = new_video()
        row, gone = comment(video, START + 3), delete(video, START + BUCKET, START + 3)
        await store.write([gone])
        assert await store.read(video, START - 1, END, 10, descending=False) == StoredSlice([gone], END)
        assert await store.read_one(video, START + 3) is None
        await store.write([row])
        assert (await store.read(video, START - 1, END, 10, descending=False)).rows == [emptied(row), gone]

    async def test_deletes_of_unknown_comments_neither_show_nor_shorten_a_slice(self, store: CommentStore) -> None:
        video = new_video()
        kept = [comment(video, START + 2 * offset) for offset in range(10)]
        deletes = [delete(video, START + BUCKET + offset, START + 2 * offset + 1) for offset in range(10)]
        await store.write(kept)
        await store.write(deletes)
        assert await store.read(video, START - 1, START + 19, 10, descending=False) == StoredSlice(kept, START + 18)
        assert (await store.read(video, START - 1, START + 19, 4, descending=True)).rows == kept[:5:-1]
        everything = await store.read(video, START - 1, END, 100, descending=False)
        assert everything == StoredSlice(kept + deletes, END)

    async def test_a_delete_twice_is_a_delete_once(self, store: CommentStore) -> None:
        video = new_video()
        row = comment(video, START)
        deletes = [delete(video, START + 5, START), delete(video, START + 9, START)]
        await store.write([deletes[1], row, deletes[0]])
        assert (await store.read(video, START - 1, END, 10, descending=False)).rows == [emptied(row), *deletes]

    @settings(max_examples=EXAMPLES_MAX, deadline=None, suppress_health_check=_SUPPRESSED)
    @given(data=st.data())
    async def test_any_order_and_number_of_writes_ends_the_same(self, store: CommentStore, data: Any) -> None:
        log = data.draw(_logs(new_video()))
        replays = data.draw(st.permutations(log + data.draw(st.lists(st.sampled_from(log)))))
        width = data.draw(st.integers(1, len(replays)))
        for start in range(0, len(replays), width):
            await store.write(replays[start : start + width])
        targets = {row.target for row in log}
        expected = [emptied(row) if row.position in targets else row for row in log]
        video = log[0].video_id
        limit = data.draw(st.integers(1, len(log) + 1))
        assert (await store.read(video, START - 1, END, limit, descending=False)).rows == expected[:limit]
        assert (await store.read(video, START - 1, END, limit, descending=True)).rows == expected[::-1][:limit]

    async def test_a_scan_finds_the_comments_of_an_author_that_have_their_text(self, store: CommentStore) -> None:
        assert isinstance(store, AuthorScan)
        videos, author = [new_video() for _ in range(5)], f"author-{new_video()}"
        rows = [comment(video, START + offset)._replace(author_id=author) for video in videos for offset in (1, BUCKET)]
        other = comment(videos[0], START + 2)
        fact = comment(videos[0], START + 3)._replace(author_id=author, kind=VIDEO_ENDED)
        await store.write([*rows, other, fact])
        await store.write([delete(videos[0], START + 9, START + 1)])
        parts = [await store.written_by(author, part) for part in range(store.scan_parts)]
        expected = {(row.video_id, row.position) for row in rows} - {(videos[0], START + 1)}
        assert sorted(one for part in parts for one in part) == sorted(expected)

    async def test_an_unset_watermark_lies_before_everything(self, store: CommentStore) -> None:
        assert await store.watermark(1, new_partition()) == BEFORE_EVERYTHING

    async def test_a_watermark_only_rises(self, store: CommentStore) -> None:
        partition = new_partition()
        for position, expected in (
            (START, START),
            (START + 9, START + 9),
            (START + 4, START + 9),
            (START + 9, START + 9),
        ):
            await store.advance_watermark(1, partition, position)
            assert await store.watermark(1, partition) == expected

    async def test_a_watermark_belongs_to_one_partition_of_one_epoch(self, store: CommentStore) -> None:
        partition = new_partition()
        top = position_at(EPOCH_MAX, OFFSET_MAX)
        await store.advance_watermark(EPOCH_MAX, partition, top)
        assert await store.watermark(EPOCH_MAX, partition) == top
        assert await store.watermark(1, partition) == BEFORE_EVERYTHING
        assert await store.watermark(EPOCH_MAX, partition + 1) == BEFORE_EVERYTHING

    async def test_a_store_nobody_told_knows_no_log(self, store: CommentStore) -> None:
        assert await store.kept_log(EPOCH_MAX) == KeptLog()

    async def test_the_log_of_an_epoch_is_the_one_kept_last_and_of_that_epoch_alone(self, store: CommentStore) -> None:
        for identity, partitions in ((7, 64), (-(1 << 31), 1), ((1 << 31) - 1, PARTITION_MAX + 1), (0, 3)):
            await store.keep_log(3, KeptLog(identity, partitions))
            assert await store.kept_log(3) == KeptLog(identity, partitions)
        await store.keep_log(4, KeptLog(9, 8))
        assert (await store.kept_log(3), await store.kept_log(4)) == (KeptLog(0, 3), KeptLog(9, 8))

    async def test_what_is_not_known_of_a_log_stays_as_it_was_kept(self, store: CommentStore) -> None:
        await store.keep_log(5, KeptLog(None, 2))
        assert await store.kept_log(5) == KeptLog(None, 2)
        await store.keep_log(5, KeptLog(6, None))
        assert await store.kept_log(5) == KeptLog(6, 2)


@st.composite
def _logs(draw: st.DrawFn, video: str) -> list[Row]:
    """The log of a video: comments, and deletes of any earlier position, whether a comment stands there or not."""
    offset = st.one_of(st.integers(0, 12), st.integers(BUCKET - 3, BUCKET + 3), st.integers(0, 4 * BUCKET))
    positions = [START + 1 + found for found in sorted(draw(st.sets(offset, min_size=1, max_size=14)))]
    log = []
    for index, position in enumerate(positions):
        earlier = st.one_of(st.sampled_from(positions[:index] or [START]), st.just(position - 1))
        log.append(
            draw(
                st.one_of(
                    st.just(comment(video, position)), st.builds(delete, st.just(video), st.just(position), earlier)
                )
            )
        )
    return log
