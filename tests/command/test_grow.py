"""What `epochs grow` does where Kafka refuses, before there is a fence."""

from pathlib import Path

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.log.interface import AppendRefused
from livecomments.sqlite import DurableFile
from livecomments_command.grow import append_or_refuse
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.events import EPOCH_BEGAN, epoch_event
from tests.log.faults import WatchedLog


async def test_what_kafka_refuses_for_good_ends_it_with_a_sentence_and_is_not_tried_for_ever(
    tmp_path: Path,
) -> None:
    tries = []

    async def refuse(name: str) -> None:
        tries.append(name)
        raise AppendRefused("Kafka refuses the record for good, TOPIC_AUTHORIZATION_FAILED: it is not written.")

    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, "comments-2", 2, 1) as inner:
        log = WatchedLog(inner, refuse)
        with pytest.raises(StartRefused, match=r"Partition 0 of comments-2 takes .*AUTHORIZATION.* No fence was"):
            await append_or_refuse(log, 0, epoch_event(EPOCH_BEGAN, 2), "comments-2")
    assert tries == ["append"]
