"""Runs a feed as the command does: where it goes on, in which epoch, and over the end of an epoch into the next."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from livecomments_command.records.export import Manifest
from livecomments_command.records.feed import Fed, Rhythm, beginning, feed, placed, standing
from livecomments_command.records.feed_steps import FeedPlan, Step, position_of_feed
from livecomments_command.records.opened import opened, opened_epochs
from livecomments_command.records.parquet import pyarrow
from livecomments_command.records.places import Directory, Folder, folder_of
from livecomments_command.records.replay_followed import stop_of
from livecomments_command.records.step_files import FEED_FORMATS
from livecomments_command.settings import ToolSettings
from livecomments_schemas.errors import StartRefused


async def run_feed(
    settings: ToolSettings, console: Console, where: str, plan: FeedPlan, rhythm: Rhythm, epoch: int | None = None
) -> Fed:
    """Add to the feed in `where` what is new, over all epochs from where it is, or from `epoch` on.

    While following, SIGTERM and SIGINT make what was read the last step.

    Raises:
        StartRefused, FilesInUse, FilesRefused, FilesFailed, LogUnavailable: as `feed` does.
    """
    if plan.form not in FEED_FORMATS:
        raise StartRefused(f"--format {plan.form}: changes are written as {' or '.join(FEED_FORMATS)}.")
    stop = asyncio.Event() if rhythm.every_s is None else stop_of(settings)
    if plan.form == "parquet":
        pyarrow()
    place = folder_of(where)
    with place.held():
        last = await standing(place, plan) or await since(plan)
        over = _FeedRun(settings, console, place, plan, replace(rhythm, stop=stop))
        return await over.run(epoch or (last and last.epoch), last)


class _FeedRun(NamedTuple):
    settings: ToolSettings
    console: Console
    place: Folder
    plan: FeedPlan
    rhythm: Rhythm

    async def run(self, epoch: int | None, last: Step | None) -> Fed:
        whole = Fed(0, 0, 0, False)
        while True:
            async with opened(self.settings, needs_store=False, epoch=epoch) as found:
                begun = await beginning(found, self.plan, last)
                whole = whole.and_then(await feed(found, self.console, self.place, self.plan, begun, self.rhythm))
                number = found.log.epoch
            if self.rhythm.is_stopped or not whole.is_over or not await self._is_followed(number):
                return whole
            epoch, last = number + 1, await standing(self.place, self.plan) or last

    async def _is_followed(self, epoch: int) -> bool:
        """Tell whether there is a later epoch; while following, wait for it."""
        while (await opened_epochs(self.settings)).known[-1].number <= epoch:
            if self.rhythm.every_s is None or self.rhythm.is_stopped:
                return False
            await self.rhythm.pause()
        return True


async def since(plan: FeedPlan) -> Step | None:
    """Return where `--after` ends: an export, or a feed. Raises StartRefused: it is neither, or not whole."""
    if plan.after is None:
        return None
    place = folder_of(plan.after)
    if isinstance(place, Directory):
        manifest = Manifest.load(Path(plan.after))
        if manifest is not None:
            return _end_of(manifest, plan)
    found = await placed(partial(position_of_feed, place))
    if found is None:
        raise StartRefused(f"--after {plan.after}: there is no export, and no feed.")
    return found


def _end_of(manifest: Manifest, plan: FeedPlan) -> Step:
    content = manifest.content
    if not manifest.is_finished:
        raise StartRefused(f"--after {plan.after}: that export is not finished. Run it again, it goes on.")
    if content["videoId"] != plan.video_id:
        raise StartRefused(f"--after {plan.after}: that is an export with videoId {content['videoId']}.")
    following = {int(number): manifest.range_of(int(number))[2] for number in content["partitions"]}
    return Step(0, content["epoch"], content["partitionCount"], following)
