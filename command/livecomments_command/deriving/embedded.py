"""The embedded file as these jobs read it, in the process that has it open."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from livecomments.embedded.epochs import embedded_comments, embedded_epochs
from livecomments.embedded.log import EmbeddedLog
from livecomments.log.interface import CommentLog
from livecomments.sqlite import DurableFile
from livecomments_schemas.epochs import Epochs


@dataclass(frozen=True)
class EmbeddedSource:
    """The epochs of a file that this process has open; `newest` is the log that it appends to."""

    file: DurableFile
    newest: EmbeddedLog

    async def epochs(self) -> Epochs:
        return await embedded_epochs(self.file, self.newest.partition_count)

    def log(self, number: int) -> AbstractAsyncContextManager[CommentLog]:
        return nullcontext(self.newest) if number == self.newest.epoch else self._earlier(number)

    @asynccontextmanager
    async def _earlier(self, number: int) -> AsyncIterator[CommentLog]:
        (chosen,) = (one for one in (await self.epochs()).known if one.number == number)
        async with embedded_comments(self.file, chosen.contract) as log:
            yield log
