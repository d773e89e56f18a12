"""One video's blocks: bounded, shared, and forgotten with what they hold."""

import random
from collections import Counter
from itertools import pairwise

import pytest

from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Tail, TailBounds
from livecomments_consumers.channel import Channel, Sizes
from livecomments_consumers.cohort import Cohort
from livecomments_consumers.wire import Form
from livecomments_schemas.events import NewRecord
from livecomments_schemas.positions import position_at
from tests.consumers.sim.log import LogView, SimLog
from tests.consumers.standing import Stander, cohort_of
from tests.schemas.records import EPOCH, VIDEO, at, comment, delete_of, fresh_window

SIZES = Sizes(block_entries=10, block_bytes=2_000, flushed_kept=3, behind_kept=4, cohort_viewers=3, boundary=8)
START = position_at(EPOCH, 0)


class Video:
    """A channel, and the partition that it is told of."""

    def __init__(self) -> None:
        view = LogView(SimLog(random.Random(0), Counter()))
        self.follower = Follower(view, (), TailBounds(1, 1, 1), clock=lambda: 0.0)
        tail = Tail(TailBounds(1_000, 1 << 30, 1e9), START - 1)
        self.followed = FollowedPartition(EPOCH, fresh_window(), tail, 0)
        self.follower.followed[0] = self.followed
        self.channel = Channel(
            VIDEO,
            self.followed,
            self.follower,
            stale_after_s=5.0,
            heartbeat_interval_s=15.0,
            linger_s=0.0,
            retry_ms=lambda: 1,
            sizes=SIZES,
        )

    def stand(self, count: int, form: Form = Form.CHUNKED, first_fd: int = 0) -> list[tuple[Stander, Cohort]]:
        """So many viewers at the head."""
        standers = [Stander(self.channel.head, fd=first_fd + at, form=form) for at in range(count)]
        for one in standers:
            self.channel.enter(one)
            self.channel.cohorts.stand(one, self.channel)
        return [(one, cohort_of(one)) for one in standers]

    def append(self, *records: NewRecord) -> None:
        for new in records:
            for entry in self.followed.apply([at(self.followed.next_offset, new)], 0.0):
                if entry.video_id == VIDEO:
                    self.channel.add(entry)


@pytest.fixture
def video() -> Video:
    return Video()


def test_a_flush_gives_what_came_and_moves_the_head_past_others_records(video: Video) -> None:
    video.append(comment(), comment("other"), comment())
    video.append(comment("other"))
    (block,) = video.channel.flush()
    assert (block.after, block.first, block.through, block.comments) == (START - 1, START, START + 3, 2)
    assert (video.channel.head, video.channel.newest) == (START + 3, START + 2)
    assert video.channel.flush() == []


@pytest.mark.parametrize(("count", "text", "blocks"), [(10, "x", 1), (11, "x", 2), (35, "x", 4), (4, "x" * 499, 2)])
def test_blocks_are_bounded_in_entries_and_bytes_and_join_without_a_hole(
    video: Video, count: int, text: str, blocks: int
) -> None:
    video.append(*[comment(message=text)] * count)
    made = video.channel.flush()
    assert len(made) == blocks
    for one, following in pairwise(made):
        assert one.through == following.after == following.first - 1
    assert all(len(block.data) <= SIZES.block_bytes + 200 for block in made)
    assert sum(block.comments for block in made) == count
    assert len(video.channel._flushed_blocks) <= SIZES.flushed_kept


def test_who_has_just_fallen_behind_gets_the_flushed_block_itself(video: Video) -> None:
    video.append(comment())
    (first,) = video.channel.flush()
    video.append(comment(), comment())
    (second,) = video.channel.flush()
    assert video.channel.block_after(first.after) is first
    assert video.channel.block_after(first.through) is second
    own = video.channel.block_after(START + 1)
    assert own is not None
    assert (own.after, own.first, own.through, own.is_shared) == (START + 1, START + 2, second.through, False)


def test_a_crowd_from_anywhere_meets_at_the_next_boundary_and_shares_from_there(video: Video) -> None:
    video.append(*[comment()] * 60)
    video.channel.flush()
    video.channel._flushed_blocks.clear()
    for offset in range(7):
        block = video.channel.block_after(START + offset)
        assert block is not None
        assert (block.through, block.is_shared) == (START + 7, False)
    shared = video.channel.block_after(START + 7)
    assert shared is not None
    assert shared.is_shared
    assert shared is video.channel.block_after(START + 7)


def test_blocks_for_who_is_behind_are_kept_while_they_are_used_and_no_more_than_some(video: Video) -> None:
    video.append(*[comment()] * 200)
    video.channel.flush()
    video.channel._flushed_blocks.clear()
    position = START - 1
    while position < video.channel.head:
        block = video.channel.block_after(position)
        assert block is not None
        position = block.through
    assert len(video.channel._behind) == SIZES.behind_kept
    for now in (5.0, 10.0):
        video.channel.look(now)
    assert not video.channel._behind
    assert not video.channel._behind_unused


def test_the_text_of_what_was_deleted_is_in_no_block(video: Video) -> None:
    video.append(comment(message="keep"), comment(message="secret"))
    video.channel.flush()
    video.channel.block_after(START - 1)
    video.append(comment(message="later"), delete_of(1))
    made = video.channel.flush()
    assert b"event: delete" in made[0].data
    position, said = START - 1, b""
    while position < video.channel.head:
        block = video.channel.block_after(position)
        assert block is not None
        position, said = block.through, said + block.data
    assert b"keep" in said
    assert b"later" in said
    assert b"secret" not in said


def test_a_comment_that_is_deleted_before_it_was_flushed_is_never_shown(video: Video) -> None:
    video.append(comment(message="secret"), delete_of(0))
    (block,) = video.channel.flush()
    assert b"secret" not in block.data
    assert block.comments == 0


def test_what_the_tail_has_let_go_is_asked_for(video: Video) -> None:
    video.append(*[comment()] * 30)
    video.channel.flush()
    video.channel._flushed_blocks.clear()
    video.followed.tail.forget(START + 20)
    assert video.channel.block_after(START + 19) is None
    assert video.channel.block_after(START + 20) is not None
    assert video.channel.resumable_after() == START + 20


def test_heartbeats_of_one_position_are_one_block(video: Video) -> None:
    assert video.channel.heartbeat(START) is video.channel.heartbeat(START)
    assert video.channel.heartbeat(START + 1).through == START + 1


def test_a_partition_that_is_not_followed_any_more_is_silent(video: Video) -> None:
    del video.follower.followed[0]
    for now, said in ((100.0, 0.0), (105.0, 0.0), (105.5, 5.5)):
        video.channel.look(now)
        assert video.channel.silence_s() == said
    video.follower.followed[0] = video.followed
    video.channel.look(106.0)
    assert video.channel.silence_s() == 0.0


@pytest.mark.parametrize("resets", [0, 1])
def test_a_log_that_went_back_is_told_though_it_has_grown_beyond_the_head(video: Video, resets: int) -> None:
    video.append(comment())
    video.channel.flush()
    again = FollowedPartition(EPOCH, fresh_window(), Tail(TailBounds(1_000, 1 << 30, 1e9), START - 1), 0, resets=resets)
    again.apply([at(offset, comment()) for offset in range(5)], 0.0)
    video.follower.followed[0] = again
    assert video.channel.flush() == []
    assert (video.channel.resets, video.channel.reset_at) == (resets, resets and START + 4)
    assert video.channel.head == START + 4


@pytest.mark.parametrize("sweeps", [0, 1])
def test_no_block_of_a_log_that_is_gone_is_given_whether_used_or_not(video: Video, sweeps: int) -> None:
    """The other log has other comments at the same positions."""
    video.append(*[comment()] * 60)
    video.channel.flush()
    video.channel._flushed_blocks.clear()
    gone = video.channel.block_after(START + 7)
    for sweep in range(sweeps):
        video.channel.look(5.0 * (sweep + 1))
    again = FollowedPartition(EPOCH, fresh_window(), Tail(TailBounds(1_000, 1 << 30, 1e9), START - 1), 0, resets=1)
    again.apply([at(offset, comment(message=f"another {offset}")) for offset in range(60)], 0.0)
    video.follower.followed[0] = again
    video.channel.flush()
    block = video.channel.block_after(START + 7)
    assert gone is not None
    assert block is not None
    assert block is not gone
    assert b"another 8" in block.data
    assert b"another 8" not in gone.data


def test_cohorts_are_of_one_form_and_of_a_bounded_size(video: Video) -> None:
    video.stand(7)
    video.stand(2, Form.CHUNKED_GZIP, first_fd=100)
    assert [(cohort.form, len(cohort.members)) for cohort in video.channel.cohorts] == [
        *[(Form.CHUNKED, 3), (Form.CHUNKED, 3), (Form.CHUNKED, 1)],
        (Form.CHUNKED_GZIP, 2),
    ]
    assert not video.channel.cohorts.loose


def test_nobody_joins_a_cohort_that_has_not_been_given_yet_what_was_flushed(video: Video) -> None:
    ((_, old),) = video.stand(1)
    video.append(comment())
    (block,) = video.channel.flush()
    ((_, new),) = video.stand(1, first_fd=1)
    assert old is not new
    old.write(block, lambda fd, data: len(data), random.Random(1), 0.0)
    ((_, joined),) = video.stand(1, first_fd=2)
    assert joined is old


def test_who_joins_a_cohort_raises_it_over_what_is_not_of_the_video(video: Video) -> None:
    ((first, cohort),) = video.stand(1)
    video.append(comment("other"))
    video.channel.flush()
    video.stand(1, first_fd=1)
    assert first.viewer.position == cohort.position == video.channel.head


def test_nobody_hears_a_heartbeat_later_for_having_joined_a_cohort(video: Video) -> None:
    ((_, cohort),) = video.stand(1)
    cohort.written_at = 10.0
    ((late, _),) = video.stand(1, first_fd=1)
    assert cohort.members[1] is late
    assert cohort.written_at == 0.0, "when the latest to join was written to"


def test_who_steps_out_goes_on_from_there_and_an_empty_cohort_is_forgotten(video: Video) -> None:
    (first, cohort), (second, _) = video.stand(2)
    cohorts = video.channel.cohorts
    cohorts.step_out(first)
    cohorts.step_out(first)
    assert list(cohorts.loose) == [first]
    assert cohort.members == {1: second}
    first.viewer.wrote(video.channel.head + 5, 1.0)
    assert second.viewer.position == video.channel.head
    cohorts.step_out(second)
    assert not list(cohorts)
