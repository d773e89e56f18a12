"""One run from the first session to the report."""

import asyncio
import resource
import time
from collections import Counter
from typing import Final

from rich.console import Console

from livecomments_loadtest import metrics, progress
from livecomments_loadtest.calls import Caller
from livecomments_loadtest.client import Pool, Wire, connect, origin_of
from livecomments_loadtest.latency import Strain
from livecomments_loadtest.ledger import Complaints, VideoLedger
from livecomments_loadtest.pages import walk
from livecomments_loadtest.plan import LoadPlan
from livecomments_loadtest.poster import DeploymentUnavailable, LoadPoster, open_sessions
from livecomments_loadtest.report import Played, Report, draw_up
from livecomments_loadtest.schedule import ChatLine, duration_s, posts, read_chat, viewers
from livecomments_loadtest.viewer import LoadViewer

READ_CONNECTIONS_MAX: Final = 16
SETTLE_S: Final = 0.5
"""Watched on after everybody is at the end: what comes twice, comes late."""

LOOK_EVERY_S: Final = 0.05
PAGE_SIZES: Final = (7, 33)
"""Neither divides the other, a block, a batch or a wave."""

ALL_WALKS_COMMENTS_MAX: Final = 50_000
"""Up to this many comments history is read in both directions with both page sizes; beyond, one size a direction."""

FILES_BESIDE_VIEWERS: Final = 256


async def run_load(plan: LoadPlan, console: Console) -> Report:
    """Play the plan against its deployment and check what came of it.

    Takes as long as the schedule, then at most twice `plan.deadline_s`: once to catch up, once to read history.

    Raises:
        PlanRejected: the chat cannot be read.
        DeploymentUnavailable: nothing listens there, or no session within `plan.deadline_s`.
    """
    chat = read_chat(plan.chat)
    await _refuse_nobody(plan.url)
    _allow_open_files(plan.viewers + plan.connections_max + FILES_BESIDE_VIEWERS)
    origin = origin_of(plan.url)
    writing, reading = Pool(origin, plan.connections_max), Pool(origin, READ_CONNECTIONS_MAX)
    asked = [Pool(origin_of(url.removesuffix("/metrics")), 1) for url in plan.metrics or (plan.url,)]
    try:
        run = _Run(plan, chat, console, writing, reading, asked)
        return await run.play()
    finally:
        for pool in (writing, reading, *asked):
            pool.close()


class _Run:
    """What the parts of one run share."""

    def __init__(
        self,
        plan: LoadPlan,
        chat: list[ChatLine],
        console: Console,
        writing: Pool,
        reading: Pool,
        asked_for_metrics: list[Pool],
    ) -> None:
        self._plan = plan
        self._chat = chat
        self._console = console
        self._writing = writing
        self._reading = reading
        self._asked_for_metrics = asked_for_metrics
        self._videos = [VideoLedger(plan.video_id(video)) for video in range(plan.videos)]
        self._complaints = Complaints()
        self._events: Counter[str] = Counter()
        self._calm = asyncio.Event()
        self._viewers: list[LoadViewer] = []
        self._phase = "posting"

    async def play(self) -> Report:
        plan = self._plan
        opening = Caller(self._writing, time.perf_counter() + plan.deadline_s)
        session_count = min(plan.authors_max, 1 + max(line.author for line in self._chat))
        sessions = await open_sessions(opening, session_count)
        before = await metrics.scrape_all(self._asked_for_metrics)

        lasts_s = duration_s(plan, self._chat)
        began = time.perf_counter()
        give_up_at = began + lasts_s + plan.deadline_s
        posting, pages = Caller(self._writing, give_up_at), Caller(self._reading, give_up_at)
        poster = LoadPoster(plan, posting, sessions, self._videos, self._complaints)
        for script in viewers(plan, lasts_s):
            video = self._videos[script.video]
            self._viewers.append(LoadViewer(script, video, pages, self._complaints, self._events, self._calm))

        strain = Strain()
        async with asyncio.TaskGroup() as group:
            shown = progress.show(self._console, plan.comments, plan.viewers, lambda: self._sample(poster))
            beside = [group.create_task(strain.watch()), group.create_task(shown)]
            watching = [group.create_task(viewer.run(began, plan.drop_rate)) for viewer in self._viewers]
            await poster.play(posts(plan, self._chat), began)
            self._calm.set()
            self._phase = "catching up"
            await self._until_caught_up(watching, give_up_at)
            await asyncio.sleep(SETTLE_S)
            strain.stop()
            for task in watching:
                task.cancel()
            self._phase = "reading history"
            reading = Caller(self._reading, time.perf_counter() + plan.deadline_s)
            await self._read_history(reading)
            for task in beside:
                task.cancel()

        served_from = metrics.since_all(before, await metrics.scrape_all(self._asked_for_metrics))
        for caller, what in ((opening, "session"), (posting, "post"), (pages, "page"), (reading, "history")):
            self._events.update({f"{what} retried: {reason}": count for reason, count in caller.retries.items()})
        return draw_up(Played(plan, self._videos, poster, self._events, self._complaints, strain, served_from))

    async def _until_caught_up(self, watching: list[asyncio.Task[None]], give_up_at: float) -> None:
        """Wait until every viewer that still watches has all it is owed, or the time is over."""
        behind = list(zip(self._viewers, watching, strict=True))
        while behind and time.perf_counter() < give_up_at:
            behind = [(viewer, task) for viewer, task in behind if not task.done() and viewer.owes]
            await asyncio.sleep(LOOK_EVERY_S)

    async def _read_history(self, caller: Caller) -> None:
        """Walk through every video, `READ_CONNECTIONS_MAX` walks at once."""
        both = self._plan.comments <= ALL_WALKS_COMMENTS_MAX

        async def read(video: VideoLedger, sort: str, page_size: int) -> None:
            async with at_once:
                video.walks.append(await walk(caller, video.video_id, sort, page_size, self._complaints))

        at_once = asyncio.Semaphore(READ_CONNECTIONS_MAX)
        async with asyncio.TaskGroup() as group:
            for n, video in enumerate(self._videos):
                for k, sort in enumerate(("asc", "desc")):
                    for page_size in PAGE_SIZES if both else (PAGE_SIZES[(n + k) % 2],):
                        group.create_task(read(video, sort, page_size))

    def _sample(self, poster: LoadPoster) -> progress.Sample:
        delivered = sum(len(viewer.trace.events) for viewer in self._viewers)
        connected = sum(viewer.is_connected for viewer in self._viewers)
        return progress.Sample(poster.sent, poster.acked, delivered, connected, self._phase)


async def _refuse_nobody(url: str) -> None:
    """Tell at once that nothing listens; what listens and is not ready yet is waited for."""
    try:
        wire = await connect(origin_of(url), Wire)
    except OSError as error:
        what = "Start one beside this (livecomments run), or name another with --url"
        raise DeploymentUnavailable(f"Nothing answers at {url} ({type(error).__name__}). {what}.") from error
    wire.abort()


def _allow_open_files(wanted: int) -> None:
    """Raise this process's soft limit on open files as far as `wanted` needs and its hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (enough, hard))
