"""A planted bug in dedupe, resume, hand-over or delete makes `livecomments load` fail; without one it passes."""

import asyncio
import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from livecomments.following.tail import Entry, Tail
from livecomments.history.stretch import Stretch
from livecomments_command.assembly.embedded import Seams
from livecomments_consumers.viewer import Feed, Step, Viewer, Write
from livecomments_loadtest import LoadPlan, Report, run_load
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.events import Record
from livecomments_schemas.judge import Kind, Verdict, judge
from livecomments_schemas.window import Window
from tests.served import served


def judge_without_dedupe(record: Record, window: Window) -> Verdict:
    verdict = judge(record, window)
    return Verdict(Kind.ACCEPTED, verdict.video_id) if verdict.kind is Kind.DUPLICATE else verdict


class LiveAtOnce(Viewer):
    """Resumes at the head instead of where the viewer was."""

    __slots__ = ()

    def step(self, feed: Feed, now: float) -> Step:
        if feed.head - self.position > 3:
            self.position = feed.head
        return super().step(feed, now)


class OffByOne(Viewer):
    """After history, goes on one position too late."""

    __slots__ = ()

    def fetched(self, stretch: Stretch) -> Write:
        return super().fetched(stretch._replace(through=stretch.through + 1))


class Remembering(Tail):
    """Keeps the text of a deleted comment."""

    def _erase(self, delete: Entry) -> None:
        """Does nothing."""


async def run(data_dir: Path, seams: Seams, deadline_s: float = 8.0) -> Report:
    """A small run with a tail so short, and a store so late, that what is read comes from store, log and tail.

    Which of the three serves a resume and which a page is up to how fast the machine lets viewers come back.
    """
    async with served(data_dir, seams, partitions=1, tail_records_max=40, persist_delay_s=0.5) as running:
        plan = LoadPlan(
            url=running.url,
            chat=CHAT,
            videos=2,
            viewers=16,
            comments=500,
            speed=60.0,
            drop_rate=30.0,
            delete_share=0.05,
            repeat_share=0.1,
            deadline_s=deadline_s,
            seed=7,
        )
        async with asyncio.timeout(40 + 3 * deadline_s):
            return await run_load(plan, Console(file=io.StringIO()))


def failed(report: Report) -> set[str]:
    """The checks that failed."""
    return {name for name, finding in report.findings.items() if finding.count}


@pytest.mark.timeout(300)
async def test_a_right_service_passes(tmp_path: Path) -> None:
    report = await run(tmp_path, Seams(), deadline_s=60.0)  # with nothing amiss it ends as soon as the machine can
    assert failed(report) == set()
    assert report.ok
    assert report.served_from is not None
    reads: Counter[str] = Counter()
    for name, count in report.served_from.items():
        reads[name.rpartition(" ")[2]] += count
    assert set(+reads) == {"tail", "log", "store"}, report.served_from


@pytest.mark.parametrize(
    ("seams", "noticed"),
    [
        (Seams(judge=judge_without_dedupe), {"phantoms", "retries disagree"}),
        (Seams(viewer=LiveAtOnce), {"lost"}),
        (Seams(viewer=OffByOne), {"lost"}),
        (Seams(tail=Remembering), {"history wrong", "deletes not honoured"}),
    ],
    ids=["dedupe", "resume", "hand-over", "delete"],
)
async def test_a_planted_bug_is_noticed(tmp_path: Path, seams: Seams, noticed: set[str]) -> None:
    report = await run(tmp_path, seams)
    assert not report.ok
    assert failed(report) & noticed, failed(report)
