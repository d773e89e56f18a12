"""How a process goes on when its epoch grows into the next one: by itself, with all that it serves."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from livecomments.following.growing import GrowingFollower, Past
from livecomments.kafka.contract import Difference
from livecomments.kafka.log import REST, KafkaLog, TopicMissing
from livecomments.kafka.rest import Rest
from livecomments.log.epochs import KnownEpochs
from livecomments.runtime.shared_settings import ServerSettings, share_of
from livecomments_command.assembly.kafka import comments_log
from livecomments_command.settings import ServingSettings
from livecomments_schemas.epochs import Contract, Epoch
from livecomments_schemas.errors import StartRefused

_log = logging.getLogger("livecomments.log")


async def past_of(settings: ServerSettings, known: KnownEpochs, epoch: int, opened: AsyncExitStack) -> Past | None:
    """Return the epoch that this one grew out of, opened; None if there is none, or its topic is gone.

    Raises:
        StartRefused: Kafka does not answer.
    """
    before = known.epochs.find(epoch - 1)
    if before is None or not before.fences:
        return None
    try:
        log = await opened.enter_async_context(comments_log(settings, before.contract, fences=before.fences))
    except TopicMissing:
        if _may_be_sent_again(before):
            gone = "the topic of the epoch before is gone: a comment that was written there, sent again, is a new one"
            _log.warning(gone, extra={"epoch": before.number})
        return None
    return Past(log, before.fences)


def _may_be_sent_again(before: Epoch) -> bool:
    """Tell whether its topic would hold by its retention what somebody may still be trying to write."""
    retention_ms = int(before.contract.settings.get("retention.ms", -1))
    return retention_ms < 0 or time.time() * 1_000 < (before.closed_at_ms or 0) + retention_ms


class Growing:
    """Moves a follower on, epoch by epoch. `log` is the one that is served now.

    Args:
        settings: of the process.
        known: the epochs.
        follower: moved on.
        opened: where the logs of epochs are kept open; those of before, too, for what is asked of them.
        rest: of the logs to come.
        moved: told of each epoch that the follower has gone on in.
    """

    def __init__(
        self,
        settings: ServingSettings,
        known: KnownEpochs,
        follower: GrowingFollower,
        opened: AsyncExitStack,
        *,
        rest: Rest = REST,
        moved: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._known = known
        self._follower = follower
        self._opened = opened
        self._rest = rest
        self._moved = moved
        self._ahead: tuple[Contract, KafkaLog] | None = None
        """What the next epoch is meant to be, and its log, opened before it is."""

    async def over(self) -> None:
        """Go on from epoch to epoch; return when there is one that this process cannot go on in."""
        while True:
            epoch = self._follower.log.epoch
            async with asyncio.TaskGroup() as both:
                looking = both.create_task(self._look_ahead(epoch))
                await self._known.over(epoch)
                looking.cancel()
            ended, following = self._known.epochs.find(epoch), self._known.epochs.find(epoch + 1)
            if ended is None or not ended.fences or following is None:
                return
            log = await self._log_of(following.contract)
            if log is None:
                return  # it is told why where it is started again
            assigned = share_of(self._settings.follow, log.partition_count)
            await self._follower.move_on(log, ended.fences, assigned)
            self._moved(log.epoch)

    async def _look_ahead(self, epoch: int) -> None:
        """Open the log of the next epoch once it is told ahead what that will be: later all who write wait for it."""
        contract = await self._known.following(epoch)
        if (log := await self._open(contract)) is not None:
            self._ahead = contract, log
            await self._follower.look_ahead(log)

    async def _log_of(self, contract: Contract) -> KafkaLog | None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == contract:
            return ahead[1]
        if ahead is not None:  # it grew otherwise than was meant
            await ahead[1].aclose()
        return await self._open(contract)

    async def _open(self, contract: Contract) -> KafkaLog | None:
        """Open the log of an epoch, which stays open as long as the process serves; None if it cannot be."""
        log = comments_log(self._settings, contract, self._rest)
        try:
            return await self._opened.enter_async_context(log)
        except StartRefused:
            return None

    async def differences(self) -> list[Difference]:
        """Tell how the live topic differs from its contract now. One that has ended may be as it likes.

        Raises:
            LogUnavailable
        """
        log = self._follower.log
        assert isinstance(log, KafkaLog)
        return [] if self._known.epochs.is_fenced(log.epoch) else await log.differences()
