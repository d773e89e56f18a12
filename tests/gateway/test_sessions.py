"""Sessions: how long they live, and that an ended one is ended everywhere."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

from livecomments.embedded.log import TABLES, EmbeddedLog
from livecomments.kafka.connection import KafkaConnection
from livecomments.kafka.log import KafkaLog
from livecomments.kafka.topics import create_missing
from livecomments.log.interface import CommentLog
from livecomments.log.revocations import Revocations, RevocationsUnavailable
from livecomments.log.session_names import session_name
from livecomments.log.topics import REVOCATIONS_TOPIC, load_topics
from livecomments.runtime.rotation import Rotated
from livecomments.sqlite import DurableFile
from livecomments_gateway.identity import RevokedSessions, SessionRules, TokenRejected, Tokens
from livecomments_gateway.jwts import JwtRules
from livecomments_gateway.keys import SharedSecrets, VerifyingKey, shared_keys
from livecomments_gateway.settings import SESSION_LIFE_MAX_S
from tests.gateway.test_answers import JWT, signed
from tests.log.contract import WAIT_S, make_anew, new_topic
from tests.log.faults import WatchedLog
from tests.served import Served, served

DAY_S: Final = 86_400
TIMEOUT_S: Final = 20.0
EVERYWHERE_S: Final = 5.0
"""The promise: an ended session is ended on every gateway within this."""


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """Around a log: set once it was asked for its bounds, and whoever asked has gone on with the answer."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def __call__(self, method: str) -> None:
        if method == "bounds:done":
            self.asked.set()


class Revoked:
    """What is revoked, in memory."""

    def __init__(self) -> None:
        self.until: dict[bytes, int] = {}

    def is_revoked(self, session: bytes) -> bool:
        return session in self.until

    async def revoke(self, session: bytes, until: int, by: str) -> None:
        self.until[session] = until


def tokens(
    clock: Clock,
    revoked: RevokedSessions | None = None,
    idle_s: int = DAY_S,
    *,
    secrets: Rotated[Sequence[bytes]] | None = None,
    keys: Rotated[tuple[VerifyingKey, ...]] | None = None,
) -> Tokens:
    signing = SharedSecrets(keys or Rotated(shared_keys(JWT["jwt_secret"])))
    rules = JwtRules(signing, JWT["jwt_issuer"], JWT["jwt_audience"])
    sessions = SessionRules(secrets or Rotated([b"s" * 32]), 10 * DAY_S, idle_s, True)
    return Tokens(sessions, revoked or Revoked(), jwt_rules=rules, clock=clock)


def test_the_first_secret_signs_each_is_accepted_and_one_that_is_gone_at_once_no_more() -> None:
    old, new = b"o" * 32, b"n" * 32
    secrets = Rotated[Sequence[bytes]]([old])
    checked, of_new = tokens(Clock(), secrets=secrets), tokens(Clock(), secrets=Rotated([new]))
    before = checked.open_session("Ana")
    assert checked.identify(f"Bearer {before.token}").author == before.author
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {of_new.open_session('Eva').token}")
    secrets.replace([new, old])
    after = checked.renew_session(checked.identify(f"Bearer {before.token}"))
    assert of_new.identify(f"Bearer {after.token}").author == before.author
    secrets.replace([new])  # the token was accepted a moment ago, and is remembered
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {before.token}")
    assert checked.identify(f"Bearer {after.token}").author == before.author


def test_a_jwt_is_accepted_by_any_of_the_secrets_and_at_once_no_more_when_its_own_is_gone() -> None:
    old, new = JWT["jwt_secret"], "n" * 64
    keys = Rotated(shared_keys(f"{new}\n{old}\n"))
    checked = tokens(Clock(), keys=keys)
    for secret in (old, new):
        assert checked.identify(f"Bearer {signed(secret)}").author.id == "user-1"
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {signed('x' * 64)}")
    keys.replace(shared_keys(new))
    assert checked.identify(f"Bearer {signed(new)}").author.id == "user-1"
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {signed(old)}")


def test_a_session_that_is_not_renewed_expires_and_one_that_is_ends_at_last() -> None:
    clock = Clock()
    checked = tokens(clock)
    session = checked.open_session("Ana")
    for _ in range(10):
        clock.now += DAY_S - 1
        identity = checked.identify(f"Bearer {session.token}")
        assert identity.author == session.author
        session = checked.renew_session(identity)
    assert session.expires_at == 1_000_000 + 10 * DAY_S
    clock.now = session.expires_at
    with pytest.raises(TokenRejected):
        checked.identify(f"Bearer {session.token}")


async def test_a_remembered_token_is_refused_once_it_expires_or_is_revoked() -> None:
    clock = Clock()
    checked = tokens(clock)
    one, other = (f"Bearer {checked.open_session('Ana').token}" for _ in range(2))
    await checked.end_session(checked.identify(one))
    for written in (one, one.replace(" ", "   "), one.replace("Bearer", "bEARER")):
        with pytest.raises(TokenRejected):
            checked.identify(written)
    assert checked.identify(other) == checked.identify(other.replace(" ", "   "))
    clock.now += DAY_S
    with pytest.raises(TokenRejected):
        checked.identify(other)


def test_a_token_changed_by_one_character_is_another_token() -> None:
    checked = tokens(Clock())
    token = checked.open_session("Ana").token
    checked.identify(f"Bearer {token}")
    for at in range(len(token)):
        changed = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(TokenRejected):
            checked.identify(f"Bearer {changed}")


async def test_ending_a_session_ends_every_token_of_it_and_no_other() -> None:
    clock, revoked = Clock(), Revoked()
    checked = tokens(clock, revoked)
    mine = checked.open_session("Ana").token
    stolen = checked.renew_session(checked.identify(f"Bearer {mine}")).token
    again = checked.renew_session(checked.identify(f"Bearer {stolen}"), "Eve").token
    other = checked.open_session("Ana").token
    await checked.end_session(checked.identify(f"Bearer {stolen}"))
    for token in (mine, stolen, again):
        with pytest.raises(TokenRejected):
            checked.identify(f"Bearer {token}")
    assert checked.identify(f"Bearer {other}").author.display_name == "Ana"
    assert list(revoked.until.values()) == [1_000_000 + 10 * DAY_S]  # when the last token of it could expire


def made_before_sessions_had_names(clock: Clock, **members: object) -> str:
    """A token as the first version made it."""
    said = {"sub": "guest-1", "name": "Ana", "exp": int(clock.now) + DAY_S, "jti": "x"} | members
    claims = base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")
    signature = hmac.digest(b"s" * 32, claims.encode(), "sha256")
    return f"lcs_{claims}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


@pytest.mark.parametrize("ends_old", [True, False])
async def test_a_token_without_a_name_is_a_session_of_its_own_and_names_what_it_is_renewed_to(ends_old: bool) -> None:
    clock = Clock()
    checked = tokens(clock)
    old = made_before_sessions_had_names(clock, end=int(clock.now) + 10 * DAY_S)
    other = made_before_sessions_had_names(clock, jti="y")
    renewed = checked.renew_session(checked.identify(f"Bearer {old}")).token
    await checked.end_session(checked.identify(f"Bearer {old if ends_old else renewed}"))
    for token in (old, renewed):
        with pytest.raises(TokenRejected):
            checked.identify(f"Bearer {token}")
    assert checked.identify(f"Bearer {other}").author.id == "guest-1"


@pytest.mark.parametrize("sid", [None, 5, "", "zz" * 16, "ab" * 15, "ab" * 17, ["ab" * 16], {}])
def test_a_name_that_cannot_be_is_none(sid: object) -> None:
    clock = Clock()
    token = made_before_sessions_had_names(clock, sid=sid)
    assert session_name(token) == sha256(token.rpartition(".")[0].encode()).digest()[:16]


@pytest.mark.parametrize(
    "token", ["lcs_", "lcs_.", "lcs_e30.", "lcs_AA.", "lcs_é", "lcs_bnVsbA.x", "lcs_W10.x", "a.b.c", "", "\udcff"]
)
def test_whatever_is_sent_as_a_token_has_a_name(token: str) -> None:
    assert len(session_name(token)) == 16


async def ended(running: Served, token: str) -> int:
    async with running.client.delete("/sessions/current", headers={"Authorization": f"Bearer {token}"}) as answer:
        return answer.status


async def test_an_ended_session_speaks_no_more_even_after_a_restart(tmp_path: Path) -> None:
    async with served(tmp_path, **JWT) as running:
        guest, other, user = await running.token(), await running.token(), signed()
        for token in (guest, user):
            assert (await running.post("v", "before", token))[0] == 201
            assert await ended(running, token) == 204
            assert (await running.post("v", "after", token))[1]["code"] == "invalid_token"
            assert await ended(running, token) == 401
        assert (await running.post("v", "hi", other))[0] == 201
        assert (await running.post("v", "hi", signed(jti="another")))[0] == 201
    async with served(tmp_path, **JWT) as running:
        for token in (guest, user):
            assert (await running.post("v", "after", token))[1]["code"] == "invalid_token"
        assert (await running.post("v", "hi", other))[0] == 201


@pytest.mark.parametrize("body", [{"displayName": "Anabel"}, {}, {"displayName": None}])
async def test_a_session_is_renamed_as_it_is_renewed_and_stays_the_same_person(
    tmp_path: Path, body: dict[str, object]
) -> None:
    async with served(tmp_path) as running:
        token = await running.token("Ana")
        headers = {"Authorization": f"Bearer {token}"}
        _, comment = await running.post("v", "before", token)
        async with running.client.post("/sessions/current", json=body, headers=headers) as answer:
            assert answer.status == 201
            renamed = await answer.json()
        status, after = await running.post("v", "after", renamed["sessionToken"])
        assert (status, after["author"]) == (
            201,
            {"id": renamed["userId"], "displayName": body.get("displayName") or "Ana"},
        )
        assert comment["author"] == {"id": renamed["userId"], "displayName": "Ana"}
        path = f"/comments/v/{comment['commentId']}"
        async with running.client.delete(
            path, headers={"Authorization": f"Bearer {renamed['sessionToken']}"}
        ) as answer:
            assert answer.status == 204
        assert await ended(running, token) == 204
        assert (await running.post("v", "ended", renamed["sessionToken"]))[0] == 401


async def test_a_name_that_cannot_be_shown_renews_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        headers = {"Authorization": f"Bearer {await running.token()}"}
        for body, code in (({"displayName": "\ufffc"}, "invalid_display_name"), ({"displayName": 5}, "invalid_json")):
            async with running.client.post("/sessions/current", json=body, headers=headers) as answer:
                assert (await answer.json())["code"] == code


async def test_a_jwt_that_outlives_what_is_kept_of_revocations_is_not_ended_for_a_while(tmp_path: Path) -> None:
    now = int(time.time())
    async with served(tmp_path, **JWT) as running:
        for expires_at, status in ((now + 31 * DAY_S - 60, 204), (now + 31 * DAY_S + 60, 403), (10**30, 403)):
            token = signed(exp=expires_at)
            assert await ended(running, token) == status
            assert (await running.post("v", "hi", token))[0] == (401 if status == 204 else 201)
        headers = {"Authorization": f"Bearer {token}"}
        async with running.client.delete("/sessions/current", headers=headers) as answer:
            assert (await answer.json())["code"] == "not_a_session"


def test_revocations_are_kept_for_longer_than_what_is_revoked_is_good() -> None:
    (topic,) = (each for each in load_topics(1) if each.name == REVOCATIONS_TOPIC)
    assert int(topic.settings["retention.ms"]) > (SESSION_LIFE_MAX_S + DAY_S / 2) * 1_000


async def nothing_in_chunks() -> AsyncIterator[bytes]:
    """A body without a length, as some clients send it even where there is none."""
    for piece in (b"",):
        yield piece


async def test_a_renewed_session_is_the_same_person_and_a_jwt_is_not_renewed(tmp_path: Path) -> None:
    async with served(tmp_path, **JWT) as running:
        token = await running.token()
        async with running.client.post("/sessions/current", headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 201
            renewed = await answer.json()
        assert renewed["sessionToken"] != token
        for each in (token, renewed["sessionToken"]):
            status, comment = await running.post("v", "hi", each)
            assert (status, comment["author"]["id"]) == (201, renewed["userId"])
        async with running.client.post(
            "/sessions/current", headers={"Authorization": f"Bearer {token}"}, data=nothing_in_chunks()
        ) as answer:
            assert answer.status == 201
        headers = {"Authorization": f"Bearer {signed()}"}
        async with running.client.post("/sessions/current", headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "not_a_session")


@asynccontextmanager
async def reading(log: CommentLog) -> AsyncIterator[Revocations]:
    """What was revoked, as one process knows it."""
    revocations = Revocations(log)
    task = asyncio.create_task(revocations.run())
    try:
        await revocations.ready(TIMEOUT_S)
        yield revocations
    finally:
        task.cancel()


async def test_nobody_is_let_in_before_all_that_was_revoked_is_known(tmp_path: Path) -> None:
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, REVOCATIONS_TOPIC, 1, 1) as log:
        unread = Revocations(log)
        checked = tokens(Clock(), unread)
        with pytest.raises(RevocationsUnavailable):
            checked.identify(f"Bearer {checked.open_session('Ana').token}")


async def test_what_was_revoked_is_forgotten_when_it_would_have_expired(tmp_path: Path) -> None:
    clock = Clock()
    async with DurableFile(tmp_path, TABLES) as file, EmbeddedLog(file, REVOCATIONS_TOPIC, 1, 1) as log:
        revocations = Revocations(log, clock=clock)
        task = asyncio.create_task(revocations.run())
        await revocations.revoke(b"a" * 16, 1_000_010, "x")
        assert revocations.is_revoked(b"a" * 16)
        clock.now += 10
        await revocations.revoke(b"b" * 16, 1_000_020, "x")
        assert not revocations.is_revoked(b"a" * 16)
        assert revocations.is_revoked(b"b" * 16)
        task.cancel()


@pytest.mark.live
async def test_with_kafka_every_gateway_knows_within_seconds(kafka_address: str) -> None:
    topics = [each.with_replicas(1) for each in load_topics(1) if each.name == REVOCATIONS_TOPIC]
    await create_missing(KafkaConnection(kafka_address), topics)
    async with (
        KafkaLog(kafka_address, REVOCATIONS_TOPIC, 1) as one,
        KafkaLog(kafka_address, REVOCATIONS_TOPIC, 1) as other,
        reading(one) as here,
        reading(other) as there,
    ):
        told = asyncio.Event()
        there.listeners.append(lambda digest: told.set())
        async with asyncio.timeout(EVERYWHERE_S):
            await here.revoke(b"d" * 16, 4_102_444_800, "x")
            await told.wait()
        assert here.is_revoked(b"d" * 16)
        assert there.is_revoked(b"d" * 16)
        async with KafkaLog(kafka_address, REVOCATIONS_TOPIC, 1) as third, reading(third) as later:
            assert later.is_revoked(b"d" * 16)


@pytest.mark.live
async def test_a_topic_of_revocations_that_is_made_anew_is_read_whole(kafka_address: str) -> None:
    topic = await new_topic(kafka_address, 1)
    async with KafkaLog(kafka_address, topic, 1) as log:
        around = Asked()
        revocations = Revocations(WatchedLog(log, around))
        running = asyncio.create_task(revocations.run())
        for name in (b"a", b"b", b"c"):
            await revocations.revoke(name * 16, 4_102_444_800, "x")
        running.cancel()  # it hears of the next one behind the end that it knew
        await make_anew(kafka_address, topic, 1)
        async with KafkaLog(kafka_address, topic, 1) as another, reading(another) as elsewhere:
            await elsewhere.revoke(b"d" * 16, 4_102_444_800, "x")
        around.asked.clear()
        running = asyncio.create_task(revocations.run())
        async with asyncio.timeout(WAIT_S):
            await around.asked.wait()  # so whoever takes it for the first one is ready from here on
        await revocations.ready(WAIT_S)
        running.cancel()
        assert all(revocations.is_revoked(name * 16) for name in (b"a", b"b", b"c", b"d"))
