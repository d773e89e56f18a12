"""Turn after turn: through all partitions once, or for ever."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, NoReturn

from livecomments_command.probing import telling
from livecomments_command.probing.asking import GOES_WRONG, NotDone, Person
from livecomments_command.probing.edges import Edge, edges_at
from livecomments_command.probing.telling import ProbeReport
from livecomments_command.probing.turn import Turn, TurnStep, newest_page, take_turn
from livecomments_command.probing.videos import looked_at, partition_count_of, video_ids
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.positions import parse_comment_id

_AT_ONCE: Final = 4
"""Turns side by side where each partition has one: what is broken takes its whole time, and a run has an end."""
PUBLIC: Final = "the public address"


class NothingToProbe(Unavailable):
    """The deployment does not tell how many partitions it has, or an edge's name stands for nothing."""

    code = "nothing_to_probe"


class Probe:
    """The probe called `name` of one deployment.

    Args:
        person: who writes, at the public address.
        edges: where to watch, as addresses; each name stands for all it resolves to. Without: the public address.
        name: of its videos.
        timeout_s: for a whole turn. The first request for a partition may wait 20 s until an edge has taken it on.
    """

    def __init__(self, person: Person, edges: Sequence[str], name: str, timeout_s: float) -> None:
        self._person = person
        self._edges = edges
        self._name = name
        self._timeout_s = timeout_s

    async def once(self, deadline_s: float) -> ProbeReport:
        """Take a turn in each partition; those whose turn has not come within `deadline_s` are not tried.

        Raises:
            NothingToProbe: it cannot even begin.
        """
        give_up_at = time.perf_counter() + deadline_s
        try:
            videos = await self._videos()
        except GOES_WRONG as error:
            raise NothingToProbe(f"{self._person.origin.authority}: {error or type(error).__name__}") from error
        try:
            edges = await self._watched()
        except OSError as error:
            raise NothingToProbe(f"--edge {error}") from error
        report = ProbeReport(len(videos), [edge.said for edge in edges])
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def take(partition: int, video_id: str) -> None:
            async with at_once:
                if time.perf_counter() > give_up_at:
                    report.untried += 1
                    return
                report.turns.append(await take_turn(self._person, edges, video_id, partition, self._timeout_s))

        async with asyncio.TaskGroup() as group:
            for partition, video_id in enumerate(videos):
                group.create_task(take(partition, video_id))
        report.turns.sort(key=lambda turn: turn.partition)
        return report

    async def follow(self, every_s: float, told: Callable[[Turn], None] = lambda _: None) -> NoReturn:
        """Take a turn every `every_s`, in one partition after the other, for ever; a longer one holds up the next."""
        telling.begin_metrics()
        videos: list[str] = []
        number = 0
        while True:
            due = time.perf_counter() + every_s
            turn, edges = Turn("", number), 0
            try:
                videos = videos or await self._videos()
                partition = number % len(videos)
                turn = Turn(videos[partition], partition, TurnStep.STREAM)
                watched = await self._watched()
                edges = len(watched)
                turn = await take_turn(self._person, watched, videos[partition], partition, self._timeout_s)
            except GOES_WRONG as error:
                turn.detail = str(error) or type(error).__name__
            telling.count(turn, edges, len(videos))
            told(turn)
            if turn.home not in (None, turn.partition):
                videos = []  # the deployment has grown since
            number += 1
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _videos(self) -> list[str]:
        """Return its videos, one for each partition, by what the pages of some tell of where they live.

        Raises:
            NotDone, ValueError, CursorRejected: they do not tell.
        """
        caller = self._person.caller(time.perf_counter() + self._timeout_s)

        async def home(video_id: str) -> tuple[str, int]:
            return video_id, parse_comment_id((await newest_page(caller, video_id)).complete_to)[1]

        homes = await asyncio.gather(*map(home, looked_at(self._name)))
        partitions = partition_count_of(homes)
        if partitions is None:
            raise NotDone("pages do not agree on the number of partitions: it may be growing just now")
        return video_ids(self._name, partitions)

    async def _watched(self) -> list[Edge]:
        return await edges_at(self._edges) if self._edges else [Edge(PUBLIC, self._person.origin)]
