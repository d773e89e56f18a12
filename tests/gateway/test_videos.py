"""Videos: what owners set and moderators forbid holds everywhere, in the log's order, and after restarts."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments.embedded.log import TABLES as LOG_TABLES
from livecomments.embedded.log import EmbeddedLog
from livecomments.embedded.store import TABLES as STORE_TABLES
from livecomments.embedded.store import EmbeddedStore
from livecomments.following.follower import Follower
from livecomments.following.tail import TailBounds
from livecomments.history.reading import History
from livecomments.log.interface import CommentLog
from livecomments.sqlite import DurableFile
from livecomments.store.interface import CommentStore
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.facts import VideoFacts, VideoSettings
from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import NO_LIMITS, NewComment, Posting, VideoEndedRejected
from livecomments_schemas.errors import Rejected
from livecomments_schemas.events import (
    USER_BANNED,
    USER_UNBANNED,
    VIDEO_ENDED,
    VIDEO_STARTED,
    Author,
    comment_pinned,
    comment_unpinned,
    user_event,
    video_changed,
    video_event,
)
from tests.gateway.test_answers import JWT, signed
from tests.served import Served, served

TIMEOUT_S: Final = 20.0
ROLES: Final = {
    "nobody": None,
    "guest": "",
    "user": signed(sub="user"),
    "moderator": signed(sub="mod", roles=["moderate"]),
    "owner": signed(sub="own", roles=["own"]),
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, **JWT) as deployment:
        yield deployment


async def call(running: Served, method: str, path: str, token: str | None, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with running.client.request(method, path, json=body, headers=headers) as answer:
        return answer.status, await answer.json() if answer.content_length else None


MATRIX: Final = [
    ("PUT", "/videos/v", {"title": "T"}, {"owner": 200}),
    ("PUT", "/videos/v/bans/rude", None, {"moderator": 204}),
    ("DELETE", "/videos/v/bans/rude", None, {"moderator": 204}),
    ("POST", "/comments/v", {"message": "hi"}, dict.fromkeys(("guest", "user", "moderator", "owner"), 201)),
    ("DELETE", "/videos/v/pin", None, {"moderator": 204, "owner": 204}),
    ("POST", "/sessions/current", None, {"guest": 201}),
]


@pytest.mark.parametrize(("method", "path", "body", "allowed"), MATRIX)
async def test_who_may_do_what(running: Served, method: str, path: str, body: Any, allowed: dict[str, int]) -> None:
    for role, token in ROLES.items():
        used = await running.token() if token == "" else token
        status, _ = await call(running, method, path, used, body)
        assert status == allowed.get(role, 401 if role == "nobody" else 403), role


@pytest.mark.parametrize("tail_records_max", [1, 50_000])
async def test_a_video_is_read_as_it_was_set_also_after_a_restart(tmp_path: Path, tail_records_max: int) -> None:
    wanted = {"title": "Ein Fest 🎉", "whoMayComment": "members", "slowModeS": 5, "maxCommentsPerS": 100}
    async with served(tmp_path, **JWT) as running:
        assert (await call(running, "GET", "/videos/v", None))[1]["code"] == "video_not_found"
        status, video = await call(running, "PUT", "/videos/v", ROLES["owner"], wanted)
        assert (status, video) == (200, {"videoId": "v", "state": "live", **wanted})
        assert await call(running, "GET", "/videos/v", None) == (200, video)
        await running.post("v", "the newest record", ROLES["user"] or "")
    async with served(tmp_path, **JWT, tail_records_max=tail_records_max) as running:
        assert await call(running, "GET", "/videos/v", None) == (200, video)
        assert (await call(running, "PUT", "/videos/v", ROLES["owner"], {}))[1]["title"] == ""


async def test_one_comment_is_pinned_at_a_time_also_after_a_restart(tmp_path: Path) -> None:
    user, moderator = ROLES["user"] or "", ROLES["moderator"]
    async with served(tmp_path, **JWT) as running:
        await call(running, "PUT", "/videos/v", ROLES["owner"], {"title": "T"})
        first, second, gone = [(await running.post("v", f"m{n}", user))[1]["commentId"] for n in range(3)]
        await call(running, "DELETE", f"/comments/v/{gone}", user)
        assert (await call(running, "PUT", f"/videos/v/pin/{gone}", moderator))[1]["code"] == "comment_deleted"
        elsewhere = (await running.post("w", "m", user))[1]["commentId"]
        assert (await call(running, "PUT", f"/videos/v/pin/{elsewhere}", moderator))[0] in (400, 404)
        assert (await call(running, "PUT", "/videos/v/pin/nothing", moderator))[1]["code"] == "invalid_cursor"
        assert "pinnedCommentId" not in (await call(running, "GET", "/videos/v", None))[1]
        for pinned in (first, second):
            assert await call(running, "PUT", f"/videos/v/pin/{pinned}", moderator) == (204, None)
            assert (await call(running, "GET", "/videos/v", None))[1]["pinnedCommentId"] == pinned
        set_anew = await call(running, "PUT", "/videos/v", ROLES["owner"], {"title": "other"})
        assert set_anew[1]["pinnedCommentId"] == second
    async with served(tmp_path, **JWT) as running:
        assert (await call(running, "GET", "/videos/v", None))[1]["pinnedCommentId"] == second
        assert await call(running, "DELETE", "/videos/v/pin", ROLES["owner"]) == (204, None)
        assert "pinnedCommentId" not in (await call(running, "GET", "/videos/v", None))[1]


async def test_an_ended_video_takes_no_comment_until_it_is_live_again(running: Served) -> None:
    for state, status in (("ended", 409), ("live", 201), ("ended", 409)):
        _, video = await call(running, "PUT", "/videos/v", ROLES["owner"], {"state": state})
        assert video["state"] == state
        found, problem = await running.post("v", "hi", ROLES["user"] or "")
        assert found == status
        assert status == 201 or problem["code"] == "video_ended"


async def test_only_those_who_may_comment_do(running: Served) -> None:
    guest = await running.token()
    for who, allowed in (("members", {"user", "moderator"}), ("moderators", {"moderator"}), ("everyone", {*ROLES})):
        await call(running, "PUT", "/videos/v", ROLES["owner"], {"whoMayComment": who})
        for role in ("guest", "user", "moderator"):
            status, problem = await running.post("v", "hi", ROLES[role] or guest)
            assert (status == 201) == (role in allowed), (who, role)
            assert status == 201 or problem["code"] == "not_allowed_to_comment"


async def test_a_banned_person_is_silent_under_that_video_alone_and_their_last_comments_go(tmp_path: Path) -> None:
    rude, other = signed(sub="auth0|rude/1"), ROLES["user"] or ""
    async with served(tmp_path, **JWT) as running:
        for token in (rude, other, rude):
            await running.post("v", "hi", token)
        path = "/videos/v/bans/auth0%7Crude%2F1"
        assert await call(running, "PUT", f"{path}?deleteLastS=3600", ROLES["moderator"]) == (204, None)
        assert (await running.post("v", "again", rude))[1]["code"] == "banned"
        assert (await running.post("w", "elsewhere", rude))[0] == 201
        assert [each["author"]["id"] for each in (await running.page("v"))["comments"]] == ["user"]
    async with served(tmp_path, **JWT) as running:
        assert (await running.post("v", "again", rude))[1]["code"] == "banned"
        assert await call(running, "DELETE", path, ROLES["moderator"]) == (204, None)
        assert (await running.post("v", "sorry", rude))[0] == 201


@pytest.mark.parametrize("user_id", ["a\nb", "a\n", "\r\n", "a/b", "%", "ü", "?#"])
async def test_whatever_an_issuer_calls_a_person_they_can_be_banned(running: Served, user_id: str) -> None:
    token, path = signed(sub=user_id), f"/videos/v/bans/{quote(user_id, safe='')}"
    assert (await running.post("v", "hi", token))[0] == 201
    assert await call(running, "PUT", path, ROLES["moderator"]) == (204, None)
    assert (await running.post("v", "again", token))[1]["code"] == "banned"


async def test_where_videos_must_be_set_others_take_no_comments(tmp_path: Path) -> None:
    async with served(tmp_path, unknown_videos="registered", **JWT) as running:
        assert (await running.post("v", "hi", ROLES["user"] or ""))[1]["code"] == "video_not_found"
        await call(running, "PUT", "/videos/v", ROLES["owner"], {})
        assert (await running.post("v", "hi", ROLES["user"] or ""))[0] == 201


@asynccontextmanager
async def following(log: CommentLog, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[Follower]:
    """A follower of all of a log."""
    follower = Follower(log, range(log.partition_count), TailBounds(10_000, 2**24, 900.0), clock=clock)
    running = asyncio.create_task(follower.run())
    try:
        for partition in range(log.partition_count):
            await follower.ready_partition(partition, TIMEOUT_S)
        yield follower
    finally:
        running.cancel()


@asynccontextmanager
async def gateway(
    log: CommentLog,
    store: CommentStore,
    limits: AdmissionLimits = NO_LIMITS,
    clock: Callable[[], float] = time.monotonic,
    in_flight_max: int = 1_000,
) -> AsyncIterator[Posting]:
    """The writes of one gateway of several on a log."""
    async with following(log, clock) as follower:
        history = History(follower, store)
        yield Posting(follower, history, timeout_s=TIMEOUT_S, in_flight_max=in_flight_max, limits=limits, clock=clock)


async def test_two_gateways_that_race_with_the_end_agree_on_every_comment(tmp_path: Path) -> None:
    identity = Identity(Author("ana", "Ana"), frozenset())
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
        gateway(log, store) as one,
        gateway(log, store) as other,
    ):

        async def post(posting: Posting, n: int) -> bool:
            try:
                await posting.post("v", identity, NewComment(f"m{n}", key=f"k{n}"))
            except VideoEndedRejected:
                return False
            return True

        followed = one._history.home("v")
        before = [post(posting, n) for n, posting in enumerate((one, other) * 20)]
        ending = one.append("v", video_event(VIDEO_ENDED, "v", "own"))
        after = [post(posting, 100 + n) for n, posting in enumerate((one, other) * 20)]
        answers = await asyncio.gather(*before, ending, *after)
        position_of_end = answers[40][0]  # type: ignore[index]  # the offset of the end
        written = [answer for answer in answers if answer is True]
        shown = [entry for entry in followed.tail.forward("v", followed.tail.after, 1_000) if entry.is_shown]
        assert len(shown) == len(written)
        assert all(entry.position < (1 << 40) + position_of_end for entry in shown)
        assert not await post(one, 1_000)
        assert not await post(other, 1_001)


def asked(running: Served, method: str, path: str, token: str) -> tuple[int, str]:
    """Status and code of a call whose path is sent as it is: aiohttp would mend it."""
    connection = HTTPConnection(running.url.removeprefix("http://"), timeout=10)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body)["code"] if body else ""
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["%ff", "%C0%80", "a%ED%A0%80", "%F5%80%80%80", "ok%80"])
async def test_bytes_that_are_no_text_are_nobodys_id(running: Served, path: str) -> None:
    moderator = signed(roles=["moderate"])
    for method in ("PUT", "DELETE"):
        answered = await asyncio.to_thread(asked, running, method, f"/videos/v/bans/{path}", moderator)
        assert answered == (400, "invalid_user_id")
    for called in (f"/comments/{path}", f"/comments/v/{path}", f"/videos/{path}", f"/comments/{path}/stream"):
        assert (await asyncio.to_thread(asked, running, "GET", called, moderator))[0] == 400, called
    somebody = f"/videos/v/bans/{quote(chr(0xFFFD))}"
    assert await asyncio.to_thread(asked, running, "PUT", somebody, moderator) == (204, "")


async def test_a_ban_holds_on_another_gateway_within_a_second(tmp_path: Path) -> None:
    identity = Identity(Author("rude", "Rude"), frozenset())
    async with (
        DurableFile(tmp_path, LOG_TABLES + STORE_TABLES) as file,
        EmbeddedLog(file, "comments-1", 1, 1) as log,
        EmbeddedStore(file) as store,
        gateway(log, store) as one,
        gateway(log, store) as other,
    ):
        await other.post("v", identity, NewComment("hi"))
        await one.append("v", user_event(USER_BANNED, "v", "rude", "mod"))

        async def post_until_refused() -> None:
            while True:
                await other.post("v", identity, NewComment("again"))

        with pytest.raises(Rejected) as refused:
            await asyncio.wait_for(post_until_refused(), 1.0)
        assert refused.value.code == "banned"


FACTS = st.lists(
    st.one_of(
        st.sampled_from([VIDEO_STARTED, VIDEO_ENDED]).map(lambda kind: video_event(kind, "v", "o")),
        st.integers(0, 5).map(lambda n: video_changed("v", VideoSettings(slow_mode_s=n).said(), "o")),
        st.tuples(st.sampled_from([USER_BANNED, USER_UNBANNED]), st.sampled_from("abc")).map(
            lambda each: user_event(each[0], "v", each[1], "m")
        ),
        st.sampled_from(["000g000000000000", "000g000000200000"]).map(lambda one: comment_pinned("v", one, "m")),
        st.just(comment_unpinned("v", "m")),
    ),
    max_size=12,
)


@given(records=FACTS, data=st.data())
def test_facts_heard_in_any_order_and_twice_are_the_same(records: list[Any], data: st.DataObject) -> None:
    numbered = list(enumerate(records))
    heard = data.draw(
        st.permutations(numbered + data.draw(st.lists(st.sampled_from(numbered)) if numbered else st.just([])))
    )
    in_order, shuffled = VideoFacts(), VideoFacts()
    for facts, order in ((in_order, numbered), (shuffled, heard)):
        for position, record in order:
            facts.hear(record.headers["type"], position, record.value)
    assert in_order.said("v") == shuffled.said("v")
    assert [in_order.is_banned(user) for user in "abc"] == [shuffled.is_banned(user) for user in "abc"]
    assert in_order.is_known == shuffled.is_known
