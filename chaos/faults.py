"""Kills every process of a deployment in turn, under load, and says what was lost (nothing) and how long it took.

Flow: a load (`livecomments load`, a process of its own) plays and checks one order, nothing twice, nothing missing; a
`Pulse` beside it tells when the deployment is well again. For each fault: SIGKILL, a while without it, start, and on
only when POSTs, viewers and the stored history have all caught up.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.table import Table

from chaos.pulse import Answer, Pulse, slowest_s
from infra.local.stack import BROKER, GATEWAY, STORE, STREAM, Stack
from livecomments_loadtest import LoadPlan
from livecomments_loadtest.chat import CHAT
from livecomments_loadtest.schedule import duration_s, read_chat

RECOVERY_TIMEOUT_S: Final = 150.0
"""Without the process, from its start: on a busy machine a broker alone takes 20 s."""
LATE_S: Final = 5.0
"""A viewer that gets a comment this long after its 201 is behind: more than a server that starts takes both cores for,
less than any of them is away."""
SLACK_S: Final = 3.0
"""Beyond a deadline, for a busy machine."""
_LOOK_EVERY_S: Final = 1.0
QUIET_S: Final = 3.0
"""Between two faults."""


class Fault(NamedTuple):
    """One process, and how long it is away before it is started again."""

    name: str
    away_s: float


FAULTS: Final = (Fault(GATEWAY, 2.0), Fault(STREAM, 4.0), Fault("edge-1", 4.0), Fault(BROKER, 8.0), Fault(STORE, 8.0))
"""Broker and store are away longer than a POST or a read waits for them."""

SMALL_TAIL: Final = {"LIVECOMMENTS_TAIL_RECORDS_MAX": "200", "LIVECOMMENTS_PERSIST_DELAY_S": "2"}
"""A tail that does not reach back to the store: what is older than it is read from the log, and from the store."""


@dataclass(frozen=True)
class FaultPlan:
    """What is killed under which load."""

    faults: Sequence[Fault] = FAULTS
    lasts_s: float = 240.0
    """How long comments are posted: beyond the last kill."""
    comments: int = 30_000
    videos: int = 8
    viewers: int = 200
    drop_rate: float = 2.0
    seed: int = 1
    deadline_s: float = 240.0


@dataclass
class Outcome:
    """What one fault did. All times in seconds after the kill."""

    fault: Fault
    killed_at: float
    started_at: float = 0.0
    ready_at: float = 0.0
    well_at: float = 0.0
    posts: list[Answer] = field(default_factory=list)
    pages: list[Answer] = field(default_factory=list)
    viewers_until: float = 0.0
    """When viewers had everything again, if they were ever behind."""
    stored_at: float = 0.0

    @property
    def refused(self) -> list[Answer]:
        return [answer for answer in self.posts if answer.status != 201]

    @property
    def first_201_at(self) -> float:
        """The answer to the first POST that was sent after the last one that was refused."""
        last = max((answer.sent_at for answer in self.refused), default=self.killed_at)
        return min((a.answered_at for a in self.posts if a.status == 201 and a.sent_at >= last), default=0.0)

    def while_away(self, answers: Sequence[Answer]) -> list[Answer]:
        """Return those asked and answered while the process was away."""
        return [each for each in answers if each.sent_at > self.killed_at and each.answered_at < self.started_at]


@dataclass
class FaultReport:
    """What came of it. `load` is the load's own report, as in its JSON."""

    outcomes: list[Outcome]
    load: dict[str, Any]
    load_said: str
    problems: list[str]
    """Promises that were broken, a sentence each."""
    restarted: list[str]
    """Processes that ended by themselves, and were started again as whoever supervises them would."""

    def table(self, title: str) -> Table:
        """Tell how long each fault was felt, in seconds after the kill."""
        table = Table(title=title, title_justify="left")
        table.add_column("killed", no_wrap=True)
        for name in ("ready again", "first 201", "viewers caught up", "history caught up", "pages refused"):
            table.add_column(name, justify="right")
        table.add_column("POSTs refused", no_wrap=True)
        for each in self.outcomes:
            since = each.killed_at
            codes = Counter(answer.code or "cut off" for answer in each.refused)
            table.add_row(
                each.fault.name,
                f"{each.ready_at - since:.1f}",
                f"{each.first_201_at - since:.1f}",
                f"{each.viewers_until - since:.1f}" if each.viewers_until else "never behind",
                f"{each.stored_at - since:.1f}",
                str(sum(answer.status != 200 for answer in each.pages)),
                ", ".join(f"{count} {code}" for code, count in codes.items()) or "0",
            )
        return table


@dataclass(frozen=True)
class Load:
    """The load, a process of its own."""

    process: asyncio.subprocess.Process
    log: Path
    file: Path

    def said(self) -> str:
        """Return what it wrote."""
        return self.log.read_text()

    def report(self) -> dict[str, Any]:
        """Return its report; empty before its end."""
        found: dict[str, Any] = json.loads(self.file.read_text()) if self.file.exists() else {}
        return found


@asynccontextmanager
async def load_beside(stack: Stack, plan: FaultPlan) -> AsyncIterator[Load]:
    """Play the load of a plan beside what is done within the context, at whose end it is killed if it still runs."""
    load_file, load_log = stack.run_dir / "load.json", stack.run_dir / "load.log"
    load_file.unlink(missing_ok=True)
    with load_log.open("w") as log:
        process = await asyncio.create_subprocess_exec(
            *_load_command(stack, plan, load_file), stdout=log, stderr=log, env={**os.environ, "COLUMNS": "140"}
        )
        try:
            yield Load(process, load_log, load_file)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def run_faults(stack: Stack, plan: FaultPlan, say: Callable[[str], None]) -> FaultReport:
    """Run the load and the faults on a stack that is up; return when both are done."""
    tag = f"{int(time.time()):x}"
    pulse = Pulse(stack.url, stack.settings, tag)
    beating = asyncio.create_task(pulse.run())
    away: set[str] = set()
    restarted: list[str] = []
    supervising = asyncio.create_task(supervise(stack, away, restarted, say))
    outcomes: list[Outcome] = []
    async with load_beside(stack, plan) as load:
        try:
            ends_at = time.monotonic() + plan.lasts_s
            await _wait(pulse.beats.is_set, "the pulse did not begin", beating)
            for fault in plan.faults:
                await asyncio.sleep(QUIET_S)
                away.add(fault.name)
                outcomes.append(await _suffer(stack, fault, pulse, beating, say))
                away.clear()
            say("waiting for the load to end")
            await load.process.wait()
        finally:
            for task in (beating, supervising):
                task.cancel()
            await asyncio.wait([beating, supervising])
    said, report = load.said(), load.report()
    problems = [*load_problems(report, said), *promises_broken(pulse, outcomes, stack.settings.append_timeout_s)]
    problems += [sentence for sentence in restarted if not sentence.startswith(STREAM)]
    unloaded = [each.fault.name for each in outcomes if each.killed_at > ends_at]
    if unloaded:
        problems.append(f"The load had ended before {', '.join(unloaded)}: let it post longer.")
    return FaultReport(outcomes, report, said, problems, restarted)


async def supervise(stack: Stack, away: Collection[str], restarted: list[str], say: Callable[[str], None]) -> None:
    """Start again what ended without being killed, as a supervisor would: some of ours end to be started again."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        for name, server in stack.servers.items():
            if name not in away and not server.is_running():
                said = server.log_file.read_text(errors="replace").splitlines()[-1:]
                restarted.append(f"{name} ended by itself: {''.join(said)}")
                say(restarted[-1])
                await asyncio.to_thread(server.start)


async def _suffer(
    stack: Stack, fault: Fault, pulse: Pulse, beating: asyncio.Task[None], say: Callable[[str], None]
) -> Outcome:
    server = stack[fault.name]
    say(f"{fault.name}: killed")
    outcome = Outcome(fault, time.monotonic())
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(fault.away_s)
    outcome.started_at = time.monotonic()
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(server.wait_ready)
    outcome.ready_at = time.monotonic()
    say(f"{fault.name}: ready again after {outcome.ready_at - outcome.killed_at:.1f} s")
    ready_at = outcome.ready_at

    def is_well() -> bool:
        posted = any(answer.status == 201 and answer.sent_at > ready_at for answer in pulse.posts)
        return posted and not pulse.missing(time.monotonic() - LATE_S) and bool(pulse.stored_after(ready_at))

    await _wait(is_well, f"{fault.name}: not well again", beating, lambda: _state(pulse, ready_at))
    outcome.well_at = time.monotonic()
    outcome.posts = [answer for answer in pulse.posts if answer.sent_at > outcome.killed_at]
    outcome.pages = [answer for answer in pulse.pages if answer.sent_at > outcome.killed_at]
    outcome.viewers_until = max(pulse.late(outcome.killed_at, LATE_S), default=0.0)
    outcome.stored_at = pulse.stored_after(ready_at) or 0.0
    say(f"{fault.name}: all well again after {outcome.well_at - outcome.killed_at:.1f} s")
    return outcome


def _state(pulse: Pulse, ready_at: float) -> str:
    posted = sum(answer.status == 201 and answer.sent_at > ready_at for answer in pulse.posts)
    newest = pulse.stored[-1] if pulse.stored else None
    return f"{posted} 201s since, {pulse.missing(time.monotonic() - LATE_S)} comments missing at viewers, {newest}"


async def _wait(
    condition: Callable[[], bool], failed: str, beating: asyncio.Task[None], state: Callable[[], str] = str
) -> None:
    deadline = time.monotonic() + RECOVERY_TIMEOUT_S
    while not condition():
        if beating.done():
            beating.result()
        if time.monotonic() > deadline:
            raise TimeoutError(f"{failed} within {RECOVERY_TIMEOUT_S:g} s: {state()}")
        await asyncio.sleep(0.1)


def _load_command(stack: Stack, plan: FaultPlan, file: Path) -> list[str]:
    chat = CHAT
    at_speed_1 = LoadPlan(url=stack.url, chat=chat, videos=plan.videos, comments=plan.comments, speed=1.0)
    options = {
        "url": stack.url,
        "videos": plan.videos,
        "viewers": plan.viewers,
        "comments": plan.comments,
        "speed": duration_s(at_speed_1, read_chat(chat)) / plan.lasts_s,
        "seed": plan.seed,
        "drop-rate": plan.drop_rate,
        "deadline-s": plan.deadline_s,
        "json": file,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    for app in stack.apps:
        words += ["--metrics", f"http://{app.internal_address}"]
    return [sys.executable, "-m", "livecomments_command", "load", *words]


def load_problems(report: Mapping[str, Any], said: str) -> Iterator[str]:
    """Say what the load found that must not be, a sentence each."""
    if not report:
        yield f"The load did not come to its end: {said[-2000:]}"
        return
    for name, finding in report["violations"].items():
        if finding["count"]:
            yield f"{name}: {finding['count']}, e.g. {'; '.join(finding['examples'])}"


def promises_broken(pulse: Pulse, outcomes: Sequence[Outcome], append_timeout_s: float) -> Iterator[str]:
    """Say what the pulse saw that must not be, a sentence each."""
    within_s = append_timeout_s + SLACK_S
    for watch in pulse.watches:
        if watch.gaps:
            yield f"A viewer of {watch.video_id} was told {watch.gaps} gaps."
    for each in outcomes:
        name = each.fault.name
        if slowest_s(each.posts) > within_s:
            yield f"{name}: a POST was answered after {slowest_s(each.posts):.1f} s, more than {within_s:g}."
        # Only of a gateway that dies in the middle of an answer a client hears nothing.
        strange = {answer.status for answer in each.posts + each.pages} - {200, 201, 503, 0 if name == GATEWAY else 503}
        if strange:
            yield f"{name}: answered with {sorted(strange)}."
        if name == BROKER and any(answer.status == 201 for answer in each.while_away(each.posts)):
            yield f"{name}: a POST was acknowledged while no broker ran."
        if name in (STORE, STREAM) and each.refused:
            yield f"{name}: {len(each.refused)} POSTs were refused, which need none: {each.refused[0]}."
        if name in (STORE, STREAM) and each.viewers_until:
            yield f"{name}: viewers were behind, who need none."
