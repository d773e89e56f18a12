"""What happens in one video: a comment's life as its writer, its viewers and its readers see it."""

import asyncio
import itertools
import secrets
import time
from collections.abc import Awaitable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar
from urllib.parse import urljoin

from livecomments_command.probing.asking import GOES_WRONG, NotDone, Person, member, said
from livecomments_command.probing.edges import Edge
from livecomments_command.probing.watching import Watch
from livecomments_loadtest.calls import Caller, CallOutcome
from livecomments_loadtest.pages import ReadPage, read_page
from livecomments_schemas.positions import parse_comment_id

AnyT = TypeVar("AnyT")

_CLEAN_UP_S: Final = 5.0
"""For deleting what a turn wrote that is broken off."""
_LOOK_S: Final = 0.05
_PAGE_SIZE: Final = 100
_LIMITED: Final = "429 "
"""How reasons begin for which a request was repeated since it came too soon."""


class TurnStep(StrEnum):
    """What a turn does, in this order; where it goes wrong it ends."""

    PAGE = "page"
    """The video's newest page, and deleting what an earlier probe left."""
    STREAM = "stream"
    """A stream from every edge."""
    POST = "post"
    SCREEN = "screen"
    """The comment on every stream."""
    HISTORY = "history"
    DELETE = "delete"
    GONE = "gone"
    """The delete on every stream, and history without the comment."""
    DONE = "done"


@dataclass
class Turn:
    """What became of one. Times in seconds."""

    video_id: str
    partition: int
    step: TurnStep = TurnStep.PAGE
    """Where it went wrong, or `DONE`."""
    detail: str = ""
    request_id: str = ""
    """The `X-Request-Id` of its POST, by which gateways' logs name it."""
    post_s: float | None = None
    """Until its 201; None as well where limits had it wait."""
    screen_s: dict[str, float] = field(default_factory=dict)
    """By edge: from just before the POST until the comment was there."""
    home: int | None = None
    """The partition in which the comment was written."""
    swept: int = 0
    """Comments of an earlier probe that were deleted."""
    left: int = 0
    """Comments there that may not be deleted by whom this probe is."""

    @property
    def is_ok(self) -> bool:
        return self.step is TurnStep.DONE


async def take_turn(person: Person, edges: Sequence[Edge], video_id: str, partition: int, timeout_s: float) -> Turn:
    """Take a turn in a video; whatever goes wrong is told in what is returned, and what was written is deleted."""
    turn = Turn(video_id, partition)
    caller = person.caller(time.perf_counter() + timeout_s)
    writing = _OneComment(person, caller, turn)
    watches: list[Watch] = []
    try:
        async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
            page = await writing.begin()
            turn.step = TurnStep.STREAM
            target = person.origin.target_of(urljoin(f"/comments/{video_id}", page.stream_url))
            watches += [Watch(edge, target) for edge in edges]
            watching = [group.create_task(watch.run()) for watch in watches]
            try:
                await _see(writing, watches)
            finally:
                for task in watching:
                    task.cancel()
        turn.step = TurnStep.DONE
    except* TimeoutError:
        turn.detail = _missing(turn.step, watches, writing.comment_id) or f"not within {timeout_s:g} s"
    except* GOES_WRONG as failed:
        turn.detail = str(failed.exceptions[0]) or type(failed.exceptions[0]).__name__
    finally:
        await writing.clean_up()
    return turn


async def _see(writing: "_OneComment", watches: Sequence[Watch]) -> None:
    turn = writing.turn
    await _all(watch.begun() for watch in watches)
    turn.step = TurnStep.POST
    sent_at = await writing.post()
    turn.step = TurnStep.SCREEN
    arrived = await _all(watch.heard(b"comment", writing.comment_id) for watch in watches)
    if sent_at is not None:
        turn.screen_s = {watch.edge.said: at - sent_at for watch, at in zip(watches, arrived, strict=True)}
    turn.step = TurnStep.HISTORY
    if any(watch.has_heard(b"delete", writing.comment_id) for watch in watches):
        raise NotDone("somebody else has deleted the comment: if another probe has this --name, give it one of its own")
    await writing.until_in_history(there=True)
    turn.step = TurnStep.DELETE
    await writing.delete()
    turn.step = TurnStep.GONE
    await _all(watch.heard(b"delete", writing.comment_id) for watch in watches)
    await writing.until_in_history(there=False)
    for watch in watches:
        if watch.twice:
            raise NotDone(f"{watch.edge.said}: the comment came twice")


async def _all(waits: Iterable[Awaitable[AnyT]]) -> list[AnyT]:
    return await asyncio.gather(*waits)


class _OneComment:
    """The writing and reading side of a turn."""

    def __init__(self, person: Person, caller: Caller, turn: Turn) -> None:
        self.turn = turn
        self.comment_id = ""
        self._person = person
        self._caller = caller
        self._target = f"/comments/{turn.video_id}"
        self._nonce = secrets.token_hex(8)
        self._may_be_there = False

    async def begin(self) -> ReadPage:
        """Return the newest page, after what an earlier probe left there was deleted."""
        page = await self._page()
        for comment_id, _ in page.items:
            outcome = await self._person.ask(self._caller, "DELETE", f"{self._target}/{comment_id}")
            is_mine = outcome.response is not None and outcome.response.head.status == 204
            self.turn.swept += is_mine
            self.turn.left += not is_mine
        return page

    async def post(self) -> float | None:
        """Write the comment; return when it was sent, unless limits had it wait."""
        self.turn.request_id = f"probe-{self._nonce}"
        outcome = await self._post()
        if outcome.response is not None and outcome.response.head.status == 404 and not self._person.is_guest:
            # Only videos that somebody has set are commented on here: with a token that may, this one is set.
            video = {"title": "livecomments probe"}
            await self._person.ask(self._caller, "PUT", f"/videos/{self.turn.video_id}", video)
            outcome = await self._post()
        answered_at = time.perf_counter()
        self.turn.home = parse_comment_id(self.comment_id or member(outcome, 201, "commentId"))[1]
        if any(reason.startswith(_LIMITED) for reason in self._caller.retries):
            return None
        self.turn.post_s = answered_at - outcome.sent_at
        return outcome.sent_at

    async def _post(self) -> CallOutcome:
        headers = {"idempotency-key": self._nonce, "x-request-id": self.turn.request_id}
        self._may_be_there = True
        body = {"message": f"Probe {self._nonce}"}
        outcome = await self._person.ask(self._caller, "POST", self._target, body, headers)
        if outcome.response is not None:
            self._may_be_there = outcome.response.head.status == 201
            if self._may_be_there:
                self.comment_id = member(outcome, 201, "commentId")
        return outcome

    async def until_in_history(self, *, there: bool) -> None:
        """Wait until the newest page has the comment, or has it no more."""
        for left_s in itertools.repeat(_LOOK_S):
            if any(self.comment_id == shown for shown, _ in (await self._page()).items) == there:
                return
            await asyncio.sleep(left_s)

    async def delete(self) -> None:
        """Delete the comment."""
        outcome = await self._person.ask(self._caller, "DELETE", f"{self._target}/{self.comment_id}")
        if outcome.response is None or outcome.response.head.status != 204:
            raise NotDone(said(outcome))
        self._may_be_there = False

    async def clean_up(self) -> None:
        """Delete the comment of a turn that did not come so far; what cannot be deleted now, the next probe finds.

        Where no answer had come to the POST, it is sent once more: by its key it tells the comment's id.
        """
        if not self._may_be_there:
            return
        self._caller = self._person.caller(time.perf_counter() + _CLEAN_UP_S)
        with suppress(*GOES_WRONG):
            async with asyncio.timeout(_CLEAN_UP_S):
                if not self.comment_id:
                    await self._post()
                if self.comment_id:
                    await self.delete()

    async def _page(self) -> ReadPage:
        return await newest_page(self._caller, self.turn.video_id)


async def newest_page(caller: Caller, video_id: str) -> ReadPage:
    """Read the newest page of a video.

    Raises:
        NotDone, ValueError: it was not given.
    """
    target = f"/comments/{video_id}?pageSize={_PAGE_SIZE}"
    outcome = await caller.ask("GET", target, {"accept": "application/json"})
    if outcome.response is None or outcome.response.head.status != 200:
        raise NotDone(said(outcome))
    return read_page(outcome.response.body)


def _missing(step: TurnStep, watches: Sequence[Watch], comment_id: str) -> str:
    kinds = {TurnStep.SCREEN: b"comment", TurnStep.GONE: b"delete"}
    if step in kinds:
        lack = [watch for watch in watches if not watch.has_heard(kinds[step], comment_id)]
    else:
        lack = [watch for watch in watches if not watch.has_begun] if step is TurnStep.STREAM else []
    return "; ".join(f"{watch.edge.said}: {watch.trouble}" for watch in lack[:5])
