"""Who may do what: two people, each with each role, and each call; and tokens that are none any more."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from livecomments_gateway.calls import (
    BAN,
    CALLS,
    DELETE_COMMENT,
    DISMISS_REPORTS,
    END_SESSION,
    GET_VIDEO,
    OPEN_SESSION,
    PIN,
    POST_COMMENT,
    PUT_VIDEO,
    READ_COMMENT,
    READ_COUNTS,
    READ_PAGE,
    READ_REPORTS,
    RENEW_SESSION,
    REPORT,
    UNBAN,
    UNPIN,
    Call,
)
from tests.gateway.test_answers import JWT, signed
from tests.served import Served, served

BODIES: Final[dict[Call, dict[str, Any]]] = {
    POST_COMMENT: {"message": "hi"},
    OPEN_SESSION: {"displayName": "Ana"},
    PUT_VIDEO: {"title": "T"},
    REPORT: {"reason": "spam"},
}
PUBLIC: Final = {READ_PAGE: 200, READ_COMMENT: 200, READ_COUNTS: 200, GET_VIDEO: 200, OPEN_SESSION: 201}
"""What it answers, whoever asks, and with whatever token."""
PEOPLE: Final = ("ana", "ben")
ROLES: Final[dict[str, list[str]]] = {"plain": [], "moderate": ["moderate"], "own": ["own"], "other": ["admin"]}
MAY: Final[dict[Call, dict[str, tuple[int, str]]]] = {
    POST_COMMENT: {},
    DELETE_COMMENT: {},
    PUT_VIDEO: dict.fromkeys(("plain", "moderate", "other"), (403, "role_missing")),
    BAN: dict.fromkeys(("plain", "own", "other"), (403, "role_missing")),
    UNBAN: dict.fromkeys(("plain", "own", "other"), (403, "role_missing")),
    PIN: dict.fromkeys(("plain", "other"), (403, "role_missing")),
    UNPIN: dict.fromkeys(("plain", "other"), (403, "role_missing")),
    REPORT: {},
    READ_REPORTS: dict.fromkeys(("plain", "other"), (403, "role_missing")),
    DISMISS_REPORTS: dict.fromkeys(("plain", "other"), (403, "role_missing")),
    RENEW_SESSION: dict.fromkeys(ROLES, (403, "not_a_session")),
    END_SESSION: {},
}
"""Calls that take a token: the refusals, by role."""
DONE: Final = {
    POST_COMMENT: 201,
    DELETE_COMMENT: 204,
    PUT_VIDEO: 200,
    BAN: 204,
    UNBAN: 204,
    PIN: 204,
    UNPIN: 204,
    REPORT: 204,
    READ_REPORTS: 200,
    DISMISS_REPORTS: 204,
    RENEW_SESSION: 201,
    END_SESSION: 204,
}


class Asked:
    """A deployment with a video and two people's comments under it."""

    def __init__(self, running: Served, comments: dict[str, str]) -> None:
        self.running = running
        self.comments = comments

    async def ask(self, call: Call, token: str | None, whose: str = "ana") -> tuple[int, str]:
        """Status and code of a call about `whose` comment."""
        path = call.path.format(videoId="v", commentId=self.comments[whose], userId="somebody")
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with self.running.client.request(call.method, path, json=BODIES.get(call), headers=headers) as answer:
            is_problem = answer.content_type == "application/problem+json"
            return answer.status, (await answer.json())["code"] if is_problem else ""


def of(person: str, role: str) -> str:
    """A JWT that no other test revokes."""
    return signed(sub=person, roles=ROLES[role], jti=f"{person}-{role}")


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    async with served(tmp_path, counts=True, **JWT) as running:
        comments = {person: (await running.post("v", "hi", of(person, "plain")))[1]["commentId"] for person in PEOPLE}
        found = Asked(running, comments)
        assert await found.ask(PUT_VIDEO, of("ana", "own")) == (200, "")
        yield found


def test_each_call_is_public_or_takes_a_token() -> None:
    assert PUBLIC.keys() | MAY.keys() == set(CALLS)
    assert {call for call in CALLS if call.takes_token} == MAY.keys() == DONE.keys()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("person", PEOPLE)
async def test_each_person_may_what_their_role_says_and_no_more(asked: Asked, person: str, role: str) -> None:
    for call in sorted(set(CALLS) - {DELETE_COMMENT}, key=lambda each: each is END_SESSION):  # which ends it, last
        expected = (PUBLIC[call], "") if call in PUBLIC else MAY[call].get(role, (DONE.get(call, 0), ""))
        assert await asked.ask(call, of(person, role)) == expected, call.name


@pytest.mark.parametrize("role", ROLES)
async def test_a_comment_is_deleted_by_its_author_and_by_moderators_alone(asked: Asked, role: str) -> None:
    may = (204, "") if role == "moderate" else (403, "not_the_author")
    assert await asked.ask(DELETE_COMMENT, of("ben", role), "ana") == may
    assert await asked.ask(DELETE_COMMENT, of("ben", role), "ben") == (204, "")
    assert await asked.ask(READ_COMMENT, None, "ana") == ((410, "comment_deleted") if may[0] == 204 else (200, ""))


def _forged(good: str) -> str:
    return good[:-2] + ("AA" if good[-2:] != "AA" else "BB")


NO_MORE: Final[dict[str, tuple[Callable[[], str | None], str]]] = {
    "anonymous": (lambda: None, "missing_token"),
    "expired": (lambda: signed(roles=["moderate", "own"], exp=1), "invalid_token"),
    "not yet": (lambda: signed(roles=["moderate", "own"], nbf=4_000_000_000), "invalid_token"),
    "another issuer's": (lambda: signed(roles=["moderate", "own"], iss="https://other.example"), "invalid_token"),
    "forged": (lambda: _forged(signed(roles=["moderate", "own"])), "invalid_token"),
    "revoked": (lambda: signed(roles=["moderate", "own"], jti="revoked"), "invalid_token"),
}


@pytest.mark.parametrize("which", NO_MORE)
async def test_without_a_good_token_only_what_is_public_is_done(asked: Asked, which: str) -> None:
    make, code = NO_MORE[which]
    token = make()
    if which == "revoked":
        assert await asked.ask(END_SESSION, token) == (204, "")
    for call in CALLS:
        expected = (PUBLIC[call], "") if call in PUBLIC else (401, code)
        assert await asked.ask(call, token) == expected, call.name


async def test_a_guest_has_no_role_and_may_write_delete_their_own_and_leave(asked: Asked) -> None:
    guest = await asked.running.token()
    _, comment = await asked.running.post("v", "hi", guest)
    asked.comments["guest"] = comment["commentId"]
    for call in (PUT_VIDEO, BAN, UNBAN):
        assert await asked.ask(call, guest) == (403, "role_missing")
    assert await asked.ask(DELETE_COMMENT, guest, "ana") == (403, "not_the_author")
    assert await asked.ask(DELETE_COMMENT, guest, "guest") == (204, "")
    assert await asked.ask(RENEW_SESSION, guest) == (201, "")
    assert await asked.ask(END_SESSION, guest) == (204, "")
    assert await asked.ask(POST_COMMENT, guest) == (401, "invalid_token")


async def test_a_cookie_never_writes(asked: Asked) -> None:
    token = of("ana", "moderate")
    for name in ("Authorization", "token", "session", "livecomments_session", "sessionToken"):
        headers = {"Cookie": f"{name}={token}", "Content-Type": "application/json"}
        async with asked.running.client.post("/comments/v", data=b'{"message":"hi"}', headers=headers) as answer:
            assert (answer.status, (await answer.json())["code"]) == (401, "missing_token")
