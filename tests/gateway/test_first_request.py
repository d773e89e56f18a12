"""The first request for a partition that is not followed yet: it waits, and is answered as any other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
import pytest

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower
from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.log.interface import LogUnavailable
from livecomments.log.revocations import Revocations
from livecomments.log.topics import REVOCATIONS_TOPIC
from livecomments.runtime.rotation import Rotated
from livecomments.sqlite import DurableFile
from livecomments_command.assembly.serving import make_app
from livecomments_gateway.admission import AdmissionLimits, UserLimitRejected
from livecomments_gateway.app import gateway_routes
from livecomments_gateway.identity import Identity, SessionRules, Tokens
from livecomments_gateway.posting import NewComment, Posting
from tests.gateway.test_sessions import Clock
from tests.log.faults import WatchedLog
from tests.schemas.records import ANA, BO, comment

WINDOW: Final = 8
WAIT_S: Final = 20.0
PARTITIONS: Final = 4


class CountedHistory(History):
    """Counts how often it was asked where a video is at home."""

    asked = 0

    def home(self, video_id: str) -> FollowedPartition:
        self.asked += 1
        return super().home(video_id)


class Made:
    """A gateway that follows nothing yet, and may be refused by its log."""

    def __init__(self, log: EmbeddedLog, revocations_log: EmbeddedLog, store: EmbeddedStore) -> None:
        self.embedded = log
        self.is_away = False
        self.log = WatchedLog(log, self._around)
        self.follower = Follower(self.log, (), TailBounds(10_000, 2**24, 1e9), window_records=WINDOW)
        self.history = CountedHistory(self.follower, store, window_records=WINDOW)
        self.posting = Posting(self.follower, self.history, timeout_s=WAIT_S, in_flight_max=10)
        revocations = Revocations(revocations_log)
        tokens = Tokens(SessionRules(Rotated([b"s" * 32]), 1_000, 1_000, True), revocations, jwt_rules=None)
        app = make_app(gateway_routes(self.follower, self.history, self.posting, tokens))
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x")
        self.works = [self.follower.run(), revocations.run()]
        self.revocations = revocations

    async def _around(self, _: str) -> None:
        if self.is_away:
            raise LogUnavailable("away")


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, PARTITIONS) as log,
        EmbeddedLog(file, REVOCATIONS_TOPIC, 0, 1) as revocations_log,
        EmbeddedStore(file) as store,
    ):
        gateway = Made(log, revocations_log, store)
        running = [asyncio.create_task(work) for work in gateway.works]
        await gateway.revocations.ready(WAIT_S)
        try:
            yield gateway
        finally:
            await gateway.client.aclose()
            for task in running:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task


async def test_the_first_post_page_and_comment_of_a_partition_are_answered_as_any_other(made: Made) -> None:
    opened = await made.client.post("/sessions", json={"displayName": "Ana"})
    assert not made.follower.followed, "a session is of no partition"
    headers = {"Authorization": f"Bearer {opened.json()['sessionToken']}"}
    answers = [await made.client.post(f"/comments/v{n}", json={"message": "first"}, headers=headers) for n in range(8)]
    assert [answer.status_code for answer in answers] == [201] * 8
    assert set(made.follower.followed) == set(range(PARTITIONS))
    page = await made.client.get("/comments/v1")
    assert [one["message"] for one in page.json()["comments"]] == ["first"]


async def test_a_partition_that_cannot_be_read_is_refused_when_its_second_is_over_and_others_are_served(
    made: Made,
) -> None:
    await made.client.get("/comments/v0")
    (served,) = made.follower.followed
    made.is_away = True
    refused = [answer for n in range(8) if (answer := await made.client.get(f"/comments/v{n}")).status_code != 200]
    assert refused
    assert {answer.json()["code"] for answer in refused} == {"overloaded"}
    assert set(made.follower.followed) == {served}
    made.is_away = False
    assert all([(await made.client.get(f"/comments/v{n}")).status_code in (200, 503) for n in range(8)])
    for number in range(PARTITIONS):
        await made.follower.ready_partition(number, WAIT_S)
    assert {(await made.client.get(f"/comments/v{n}")).status_code for n in range(8)} == {200}


async def test_a_read_asks_once_where_its_video_is_at_home(made: Made) -> None:
    opened = await made.client.post("/sessions", json={"displayName": "Ana"})
    headers = {"Authorization": f"Bearer {opened.json()['sessionToken']}"}
    written = await made.client.post("/comments/v", json={"message": "first"}, headers=headers)
    for path in ("v", "v?sort=asc", "v?include=deletes", f"v/{written.json()['commentId']}"):
        made.history.asked = 0
        assert (await made.client.get(f"/comments/{path}")).status_code == 200
        assert made.history.asked == 1, path


async def test_what_is_no_video_takes_nothing_on(made: Made) -> None:
    for path in ("/comments/%C3%A4", "/comments/" + "a" * 65, "/comments/a%20b/0123456789abcdef"):
        assert (await made.client.get(path)).status_code == 400
    assert not made.follower.followed
    assert not made.follower._being_read


async def test_limits_count_what_was_written_in_the_window_before_the_tail(tmp_path: Path) -> None:
    """By clock: the log stamps what is appended with the time of day."""
    clock = Clock()
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
    ):
        window = 200
        news = [comment("w", author=BO)] * 100 + [comment("v", "hers")] * 3 + [comment("w", author=BO)] * 1_200
        await asyncio.gather(*(log.append(0, new) for new in news))
        follower = Follower(log, (), TailBounds(10_000, 2**24, 900.0), window_records=window, clock=clock)
        history = History(follower, store, window_records=window)
        limits = AdmissionLimits(user_comments_max=5, user_period_s=1e6)
        posting = Posting(follower, history, timeout_s=WAIT_S, in_flight_max=10, limits=limits, clock=clock)
        running = asyncio.create_task(follower.run())
        try:
            followed = await follower.ready_partition(0, WAIT_S)
            assert all(entry.video_id == "w" for entry in followed.tail), "hers are not in the tail"
            for _ in range(2):
                await posting.post("v", Identity(ANA, frozenset()), NewComment("more"))
            with pytest.raises(UserLimitRejected):
                await posting.post("v", Identity(ANA, frozenset()), NewComment("too much"))
            await posting.post("v", Identity(BO, frozenset()), NewComment("others go on"))
        finally:
            running.cancel()
            await asyncio.wait([running])
