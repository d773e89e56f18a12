"""`Pulse`: a small steady crowd of its own beside a load, by which one sees when a deployment is well again.

It posts a few comments a second, each once, watches them over streams, asks for pages, and compares the log's end with
what is stored. All moments are of `time.monotonic`.
"""

import asyncio
import itertools
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import aiohttp

from livecomments.log.interface import CommentLog, LogUnavailable
from livecomments.store.interface import CommentStore, StoreUnavailable
from livecomments_command.settings import ToolSettings
from livecomments_schemas.positions import first_position, offset_of

POST_EVERY_S: Final = 0.2
PAGE_EVERY_S: Final = 0.5
LAG_EVERY_S: Final = 0.5
BACK_OFF_S: Final = 0.2
"""Of a viewer whose stream ended; a `retry:` is not obeyed, so that what is measured is the deployment."""
ANSWER_TIMEOUT_S: Final = 20.0
VIDEOS: Final = 6
"""So many that every edge has some."""


class Answer(NamedTuple):
    """One question and its answer. `status` 0: none came."""

    sent_at: float
    answered_at: float
    status: int
    code: str = ""
    comment_id: str = ""

    @property
    def took_s(self) -> float:
        return self.answered_at - self.sent_at


@dataclass
class Watch:
    """One viewer: what it got, and when."""

    video_id: str
    arrived: dict[str, float] = field(default_factory=dict)
    last_id: str = ""
    gaps: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)


class Stored(NamedTuple):
    """How many records the log has, and how many of them the watermarks say are stored."""

    at: float
    end: int
    stored: int


class Pulse:
    """See the module. Run it in a task; the rest looks at what it found so far."""

    def __init__(self, url: str, settings: ToolSettings, tag: str, *, post_every_s: float = POST_EVERY_S) -> None:
        self._url = url
        self._post_every_s = post_every_s
        self._settings = settings
        self.posts: list[Answer] = []
        self.pages: list[Answer] = []
        self.stored: list[Stored] = []
        self.watches = [Watch(f"pulse-{tag}-{n}") for n in range(VIDEOS)]
        self.acked: dict[str, list[Answer]] = {watch.video_id: [] for watch in self.watches}
        """The 201s of each video."""
        self.beats = asyncio.Event()
        """Set once everybody watches and the first comment was stored."""

    async def run(self) -> None:
        """Go on until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S)
        async with aiohttp.ClientSession(self._url, timeout=timeout) as client, asyncio.TaskGroup() as running:
            running.create_task(self._measure_lag())
            for watch in self.watches:
                running.create_task(self._watch(client, watch))
            await asyncio.gather(*(watch.began.wait() for watch in self.watches))
            token = await self._token(client)
            for kind in ("asc", "desc"):
                running.create_task(self._read_pages(client, kind))
            for n in itertools.count():
                await asyncio.sleep(self._post_every_s)
                running.create_task(self._post(client, self.watches[n % VIDEOS].video_id, token, n))
                if not self.beats.is_set() and self.stored_after(0.0):
                    self.beats.set()

    def missing(self, acked_before: float) -> int:
        """Tell how many comments acknowledged before that moment some viewer has not got yet."""
        return sum(
            answer.comment_id not in watch.arrived and answer.answered_at < acked_before
            for watch in self.watches
            for answer in self.acked[watch.video_id]
        )

    def late(self, since: float, more_than_s: float) -> list[float]:
        """Tell when those comments came that viewers got more than so much after their 201, of those posted since."""
        return [
            watch.arrived[answer.comment_id]
            for watch in self.watches
            for answer in self.acked[watch.video_id]
            if answer.sent_at >= since and watch.arrived.get(answer.comment_id, 0.0) - answer.answered_at > more_than_s
        ]

    def stored_after(self, moment: float, slack_s: float = 3.0) -> float | None:
        """Find the first time after `moment` at which everything was stored that the log held `slack_s` before."""
        for now in self.stored:
            held = [then.end for then in self.stored if then.at <= now.at - slack_s]
            if now.at >= moment and held and now.stored >= held[-1]:
                return now.at
        return None

    async def _post(self, client: aiohttp.ClientSession, video_id: str, token: str, n: int) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await _ask(client, "POST", f"/comments/{video_id}", json={"message": f"beat {n}"}, headers=headers)
        self.posts.append(answer)
        if answer.comment_id:
            self.acked[video_id].append(answer)

    async def _read_pages(self, client: aiohttp.ClientSession, sort: str) -> None:
        for watch in itertools.cycle(self.watches):
            await asyncio.sleep(PAGE_EVERY_S)
            path = f"/comments/{watch.video_id}"
            self.pages.append(await _ask(client, "GET", path, params={"sort": sort, "pageSize": "10"}))

    async def _token(self, client: aiohttp.ClientSession) -> str:
        async with client.post("/sessions", json={"displayName": "Pulse"}) as answer:
            return str((await answer.json())["sessionToken"])

    async def _watch(self, client: aiohttp.ClientSession, watch: Watch) -> None:
        while True:
            headers = {"Last-Event-ID": watch.last_id} if watch.last_id else {}
            try:
                async with client.get(
                    f"/comments/{watch.video_id}/stream",
                    headers=headers,
                    timeout=aiohttp.ClientTimeout(total=None, sock_read=60.0),
                ) as answer:
                    await self._take(answer.content, watch)
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(BACK_OFF_S)

    async def _take(self, lines: aiohttp.StreamReader, watch: Watch) -> None:
        kind = new_id = ""
        async for line in lines:
            name, _, value = line.decode().rstrip("\n").partition(":")
            if name == "event":
                kind = value.strip()
            elif name == "id":
                new_id = value.strip()
            elif not name and new_id:
                watch.last_id = new_id
                watch.began.set()
                watch.gaps += kind == "gap"
                if kind == "comment":
                    watch.arrived.setdefault(new_id, time.monotonic())
                kind = new_id = ""

    async def _measure_lag(self) -> None:
        from livecomments_command.assembly.cql import cql_store
        from livecomments_command.assembly.kafka import newest_comments

        settings = self._settings
        async with newest_comments(settings) as log, cql_store(settings) as store:
            while True:
                await asyncio.sleep(LAG_EVERY_S)
                try:
                    self.stored.append(await stored_of(log, store))
                except (LogUnavailable, StoreUnavailable):
                    continue


async def stored_of(log: CommentLog, store: CommentStore) -> Stored:
    """Tell how much of the log is stored now. Raises LogUnavailable, StoreUnavailable."""
    partitions = range(log.partition_count)
    ends = await log.bounds(partitions)
    at = time.monotonic()
    watermarks = await asyncio.gather(*(store.watermark(log.epoch, number) for number in partitions))
    first = first_position(log.epoch)
    stored = sum(offset_of(mark) + 1 for mark in watermarks if mark >= first)
    return Stored(at, sum(ends[number].end for number in partitions), stored)


async def _ask(client: aiohttp.ClientSession, method: str, path: str, **what: Any) -> Answer:
    sent_at = time.monotonic()
    try:
        async with client.request(method, path, **what) as response:
            body = await response.read()
    except (aiohttp.ClientError, TimeoutError, OSError):
        return Answer(sent_at, time.monotonic(), 0)
    try:
        members = json.loads(body)
    except ValueError:
        members = {}
    code, comment_id = str(members.get("code", "")), str(members.get("commentId", ""))
    return Answer(sent_at, time.monotonic(), response.status, code, comment_id if response.status == 201 else "")


def slowest_s(answers: Iterable[Answer]) -> float:
    return max((answer.took_s for answer in answers), default=0.0)
