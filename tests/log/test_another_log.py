"""Continuity: each time the log becomes another one is noted, and once."""

from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.continuity import Continuity
from livecomments.log.interface import LogUnavailable, LogWentBackUnavailable
from livecomments.sqlite import DurableFile
from tests.log.faults import WatchedLog


async def test_each_log_that_takes_the_place_of_the_one_before_is_noted_once(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "comments", 1, 1) as inner:
        log = WatchedLog(inner)
        continuity = Continuity(log)
        await continuity.begin()
        assert not await continuity.is_broken()
        continuity.check()
        for resets, generation in enumerate((" anew", " and again"), 1):
            log.generation = generation
            assert [await continuity.is_broken() for _ in range(3)] == [True, False, False]
            assert continuity.resets == resets
        with pytest.raises(LogWentBackUnavailable):
            continuity.check()


async def test_a_log_that_does_not_answer_is_no_other_one(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "comments", 1, 1) as inner:

        async def away(call: str) -> None:
            if call == "identity":
                raise LogUnavailable("away")

        log = WatchedLog(inner)
        continuity = Continuity(log)
        await continuity.begin()
        log.around, log.generation = away, " anew"
        assert not await continuity.is_broken()
        continuity.check()
        log.around = WatchedLog(inner).around
        assert await continuity.is_broken()
