"""What passes by itself is tried again, with growing pauses; anything else, and giving up, is raised."""

import logging

import pytest

from livecomments.runtime.retrying import after, never, retrying, told, within
from livecomments_schemas.errors import Unavailable


class Away:
    """A call that fails `times`, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error
        self.pauses: list[float] = []

    async def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "here"

    async def sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)


class AwayUnavailable(Unavailable):
    """Away for a while."""

    code = "overloaded"


async def test_what_is_away_is_called_until_it_answers() -> None:
    away = Away(3, AwayUnavailable("away"))
    assert await retrying(away, sleep=away.sleep) == "here"
    assert len(away.pauses) == 3


async def test_pauses_double_up_to_their_bound_and_are_jittered() -> None:
    away = Away(6, AwayUnavailable("away"))
    await retrying(away, first_s=1.0, max_s=8.0, sleep=away.sleep)
    for slept, whole in zip(away.pauses, (1.0, 2.0, 4.0, 8.0, 8.0, 8.0), strict=True):
        assert whole / 2 <= slept < whole


async def test_without_a_bound_of_their_own_pauses_are_alike() -> None:
    away = Away(4, AwayUnavailable("away"))
    await retrying(away, first_s=1.0, sleep=away.sleep)
    assert max(away.pauses) <= 1.0


async def test_who_gives_up_is_told_the_last_failure() -> None:
    away = Away(10, AwayUnavailable("away"))
    with pytest.raises(AwayUnavailable):
        await retrying(away, after(3), sleep=away.sleep)
    assert (away.left, len(away.pauses)) == (7, 2)


async def test_who_gives_up_after_a_time_is_told_the_first_failure_behind_it() -> None:
    now = iter((100.0, 101.0, 101.9, 102.0, 103.0))
    away = Away(10, AwayUnavailable("away"))
    with pytest.raises(AwayUnavailable):
        await retrying(away, within(2.0, lambda: next(now)), sleep=away.sleep)
    assert (away.left, len(away.pauses)) == (7, 2)


async def test_each_failure_is_warned_of_with_its_code_and_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    away = Away(2, AwayUnavailable("nobody listens"))
    tells = told(logging.getLogger("test"), "not there, trying again", partition=7)
    assert await retrying(away, tells, sleep=away.sleep) == "here"
    said = [(each.getMessage(), vars(each)) for each in caplog.records]
    assert [message for message, _ in said] == ["not there, trying again"] * 2
    assert {(each["partition"], each["code"], each["reason"]) for _, each in said} == {
        (7, "overloaded", "nobody listens")
    }


async def test_what_does_not_pass_by_itself_is_raised_at_once() -> None:
    broken = Away(1, ValueError("ours"))
    with pytest.raises(ValueError, match="ours"):
        await retrying(broken, sleep=broken.sleep)
    assert broken.pauses == []


async def test_other_kinds_can_be_named() -> None:
    away = Away(2, OSError("away"))
    assert await retrying(away, on=(OSError, TimeoutError), sleep=away.sleep) == "here"


def test_never_is_never() -> None:
    assert not any(never(OSError()) for _ in range(1_000))
