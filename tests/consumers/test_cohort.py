"""Cohorts: one write after the other, and who falls back."""

import errno
import random
from collections.abc import Iterable

import pytest

from livecomments_consumers.block import Block
from livecomments_consumers.cohort import Cohort
from livecomments_consumers.cohorts import Cohorts
from livecomments_consumers.wire import Form
from tests.consumers.standing import Stander, StillFeed

RNG = random.Random(1)
BLOCK = Block(10, 12, 14, b"event: comment\n\n", 1)


class Kernel:
    """Takes so many bytes of each write to a descriptor; an error number is raised."""

    def __init__(self, takes: dict[int, int] | None = None) -> None:
        self.takes = takes or {}
        self.got: list[tuple[int, bytes]] = []

    def write(self, fd: int, data: bytes) -> int:
        takes = self.takes.get(fd, len(data))
        if takes < 0:
            raise OSError(-takes, "")
        self.got.append((fd, data))
        return takes


def cohort_of(members: dict[int, Stander], form: Form = Form.CHUNKED) -> Cohort:
    cohort = Cohort(form, 0, 11, 0.0)
    for member in members.values():
        cohort.add(member)
        member.viewer.stand_at(cohort)
    return cohort


def standers(fds: Iterable[int]) -> dict[int, Stander]:
    return {fd: Stander(fd=fd) for fd in fds}


def test_all_get_the_same_bytes_and_are_where_the_block_leads() -> None:
    members, kernel = standers(range(5)), Kernel()
    cohort = cohort_of(members)
    assert cohort.write(BLOCK, kernel.write, RNG, 7.0) == []
    assert sorted(fd for fd, _ in kernel.got) == [0, 1, 2, 3, 4]
    assert all(data is BLOCK.form(Form.CHUNKED) for _, data in kernel.got)
    assert {(member.viewer.position, member.viewer.written_at) for member in members.values()} == {(14, 7.0)}


def test_who_is_first_changes() -> None:
    cohort, firsts = cohort_of(standers(range(5))), set()
    for at in range(11, 61):
        kernel = Kernel()
        cohort.write(Block(at, at + 1, at + 1, b"x", 1), kernel.write, RNG, 0.0)
        firsts.add(kernel.got[0][0])
    assert firsts == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("takes", [5, 0, -errno.EAGAIN, -errno.EPIPE])
def test_who_does_not_take_all_falls_back_and_keeps_nobody_from_theirs(takes: int) -> None:
    members, kernel, feed = standers(range(5)), Kernel({2: takes}), StillFeed(head=11, newest=11)
    cohorts = Cohorts(10)
    for member in members.values():
        cohorts.enter(member)
        cohorts.stand(member, feed)
    (cohort,) = cohorts
    assert cohorts.write(cohort, BLOCK, kernel.write, RNG, 7.0) == 4
    assert members[2].fell == [(BLOCK.form(Form.CHUNKED), max(takes, 0))]
    assert list(cohorts.loose) == [members[2]]
    assert sorted(cohort.members) == [0, 1, 3, 4]
    assert sorted({fd for fd, _ in kernel.got} | {2}) == [0, 1, 2, 3, 4]
    assert members[2].viewer.position == 14, "what was not taken waits in its transport"
    cohorts.write(cohort, Block(14, 15, 15, b"x", 1), kernel.write, RNG, 8.0)
    assert members[2].viewer.position == 14
    assert members[0].viewer.position == 15


def test_a_block_of_which_viewers_see_nothing_only_moves_them_on() -> None:
    members, kernel = standers([1]), Kernel()
    cohort_of(members).write(Block(11, 20, 19, b"", 0), kernel.write, RNG, 7.0)
    assert kernel.got == []
    assert (members[1].viewer.position, members[1].viewer.written_at) == (19, 0.0)


def test_whose_life_has_ended_is_told_and_nobody_is_looked_at_before() -> None:
    members = {fd: Stander(expires_at=life, fd=fd) for fd, life in ((1, 5.0), (2, 9.0), (3, 9.0))}
    cohort = cohort_of(members)
    assert cohort.expired(5.0) == []
    assert cohort.expired(5.1) == [members[1]]
    del cohort.members[1]
    assert cohort.expires_at == 9.0
    assert cohort.expired(6.0) == []
    assert cohort.expired(9.5) == [members[2], members[3]]


def test_nobody_who_stands_with_others_is_moved_alone() -> None:
    members = standers([1, 2])
    cohort_of(members)
    with pytest.raises(AssertionError, match="stands with others"):
        members[1].viewer.wrote(14, 0.0)
    members[1].viewer.step_out()
    members[1].viewer.wrote(14, 0.0)
    assert [member.viewer.position for member in members.values()] == [14, 11]


def test_a_cohort_says_what_is_new_of_the_video_first_then_its_heartbeat_and_only_with_all_that_was_flushed() -> None:
    cohort, feed = cohort_of(standers([1])), StillFeed(head=15, newest=13, version=1, said_at=12)
    assert cohort.step(feed, 0.0) is None, "a block is on its way to it"
    cohort.write(Block(11, 13, 13, b"x", 1), Kernel().write, RNG, 7.0)
    feed.said_at = 16
    assert cohort.step(feed, 6.9) is None, "what the record says follows the record"
    assert cohort.position == 15, "nothing of the video lies between the two"
    feed.said_at = 15
    said = cohort.step(feed, 7.0)
    assert said is not None
    assert (said.data, said.through) == (b"video 1", 15)
    beat = cohort.step(feed, 7.0)
    assert beat is not None
    assert b"event: heartbeat" in beat.data
    assert cohort.step(feed, 6.9) is None
    feed.resets += 1
    assert cohort.step(feed, 7.0) is None, "each is told for itself"
