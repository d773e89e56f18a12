"""The writing side: sessions, and every scheduled post and delete seen through to its final answer."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import quote

import orjson

from livecomments_loadtest.calls import Caller, CallOutcome, problem_code
from livecomments_loadtest.client import Response
from livecomments_loadtest.ledger import Ack, Answers, Complaints, VideoLedger, digest_of, is_comment_id
from livecomments_loadtest.plan import LoadPlan
from livecomments_loadtest.schedule import ScheduledPost
from livecomments_schemas.errors import Unavailable
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS

SESSIONS_AT_ONCE_MAX = 16


class DeploymentUnavailable(Unavailable):
    """No session could be opened: nothing answers at this address, or it admits no guests."""

    code = "deployment_unavailable"


class LoadSession(NamedTuple):
    """A guest: the public id its comments carry, and the header that speaks for it."""

    user_id: str
    authorization: str


async def open_sessions(caller: Caller, count: int) -> list[LoadSession]:
    """Open the sessions of `count` guests.

    Raises:
        DeploymentUnavailable: refused, or no answer in time.
    """
    at_once = asyncio.Semaphore(SESSIONS_AT_ONCE_MAX)

    async def open_one(n: int) -> LoadSession:
        async with at_once:
            body = orjson.dumps({"displayName": f"Load {n}"})
            response = (await caller.ask("POST", "/sessions", {}, body)).response
        if response is None:
            raise DeploymentUnavailable("No session within the deadline: " + ", ".join(caller.retries))
        try:
            members = orjson.loads(response.body)
            return LoadSession(members["userId"], f"Bearer {members['sessionToken']}")
        except (ValueError, KeyError, TypeError) as error:
            what = f"POST /sessions was answered with {response.head.status} {problem_code(response)}"
            raise DeploymentUnavailable(what) from error

    return await asyncio.gather(*map(open_one, range(count)))


class LoadPoster:
    """Plays the schedule. `sent`, `acked` and `deleted` count posts and deletes, not tries."""

    def __init__(
        self,
        plan: LoadPlan,
        caller: Caller,
        sessions: list[LoadSession],
        videos: list[VideoLedger],
        complaints: Complaints,
    ) -> None:
        self._plan = plan
        self._caller = caller
        self._sessions = sessions
        self._videos = videos
        self._complaints = complaints
        self._in_flight = asyncio.Semaphore(plan.connections_max)
        self.sent = 0
        self.acked = 0
        self.repeated = 0
        self.deleted = 0
        self.never_sent = 0
        self.posting_s = 0.0
        """From the first post to the last one's answer."""

        self.behind_s_max = 0.0
        """How far sending fell behind the schedule at worst: a slow deployment, or a saturated client."""

    async def play(self, schedule: Iterable[ScheduledPost], began: float) -> None:
        """Post all of it, each at its moment after `began`; return when each post and delete has its final answer."""
        async with asyncio.TaskGroup() as group:
            for post in schedule:
                await asyncio.sleep(max(0.0, began + post.at_s - time.perf_counter()))
                await self._in_flight.acquire()
                now = time.perf_counter()
                self.behind_s_max = max(self.behind_s_max, now - began - post.at_s)
                if now >= self._caller.give_up_at:
                    self._in_flight.release()
                    self.never_sent += 1
                    continue
                self.sent += 1
                group.create_task(self._see_through(post))
        self.posting_s = time.perf_counter() - began

    async def _see_through(self, post: ScheduledPost) -> None:
        asked_before = self._caller.asked
        booked = _Booked([], 0)
        try:
            copies = 2 if post.repeat_after_s == 0 else 1
            self._book(post, booked, await asyncio.gather(*(self._post(post) for _ in range(copies))))
        finally:
            self._in_flight.release()
        if post.repeat_after_s:
            await asyncio.sleep(post.repeat_after_s)
            self._book(post, booked, [await self._post(post)])
        self._close(post, booked, late=self._caller.asked - asked_before >= DEDUPE_WINDOW_RECORDS)
        if booked.acks and post.delete_after_s is not None:
            await asyncio.sleep(post.delete_after_s)
            await self._delete(post, booked.acks[0][0])

    async def _post(self, post: ScheduledPost) -> "_Posted":
        headers = {
            "authorization": self._sessions[post.session].authorization,
            "idempotency-key": self._plan.idempotency_key(post.n),
        }
        target = f"/comments/{quote(self._videos[post.video].video_id)}"
        outcome = await self._caller.ask("POST", target, headers, orjson.dumps({"message": post.message}))
        return _Posted(outcome, time.perf_counter())

    def _book(self, post: ScheduledPost, booked: "_Booked", copies: list["_Posted"]) -> None:
        """Record the answers of copies that were sent together; the comment counts as acknowledged by the first."""
        video = self._videos[post.video]
        sent_at = min(copy.outcome.sent_at for copy in copies)
        for outcome, answered_at in sorted(copies, key=lambda copy: copy.answered_at):
            booked.tries += outcome.tries
            if outcome.response is None:
                continue
            comment = self._read_comment(post, outcome.response)
            if comment is None:
                continue
            if comment[0] not in [comment_id for comment_id, _ in booked.acks]:
                self.acked += not booked.acks
                video.acknowledge(comment[0], Ack(comment[1], sent_at, answered_at))
            booked.acks.append(comment)

    def _close(self, post: ScheduledPost, booked: "_Booked", *, late: bool) -> None:
        """Record what the checks must know of a post once no more of it will be sent."""
        video = self._videos[post.video]
        if post.repeat_after_s is not None:
            self.repeated += 1
            video.answers.append(Answers(post.n, late, tuple(booked.acks)))
        if booked.tries and not booked.acks:
            video.unanswered += 1
        elif booked.tries > 1 and late:
            video.late_tries += 1

    def _read_comment(self, post: ScheduledPost, response: Response) -> tuple[str, int] | None:
        """Return the id and digest of a 201's comment; None, and a complaint, for everything else."""
        if response.head.status != 201:
            self._complaints.add(f"POST answered with {response.head.status} {problem_code(response)}")
            return None
        try:
            members = orjson.loads(response.body)
            comment_id, message = members["commentId"], members["message"]
            is_ours = (members["videoId"], members["author"]["id"]) == (
                self._videos[post.video].video_id,
                self._sessions[post.session].user_id,
            )
        except (ValueError, KeyError, TypeError):
            self._complaints.add("201 whose body is no comment")
            return None
        # What the server makes of other scripts is its own business (normal form); plain ASCII comes back as it was.
        if not is_ours or not is_comment_id(comment_id) or (post.message.isascii() and message != post.message.strip()):
            self._complaints.add("201 with a comment that is not the one posted")
            return None
        return comment_id, digest_of(response.body)

    async def _delete(self, post: ScheduledPost, comment_id: str) -> None:
        video = self._videos[post.video]
        video.deletes[comment_id] = False
        target = f"/comments/{quote(video.video_id)}/{comment_id}"
        headers = {"authorization": self._sessions[post.session].authorization}
        response = (await self._caller.ask("DELETE", target, headers)).response
        if response is None:
            return
        if response.head.status != 204:
            self._complaints.add(f"DELETE answered with {response.head.status} {problem_code(response)}")
            return
        video.deletes[comment_id] = True
        self.deleted += 1


class _Posted(NamedTuple):
    """One copy of a post and when its final answer was there."""

    outcome: CallOutcome
    answered_at: float


@dataclass
class _Booked:
    """What one post has got so far over all its copies: the comments of its 201s, and how often it was sent."""

    acks: list[tuple[str, int]]
    tries: int
