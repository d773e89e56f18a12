"""What the gateway answers, over a real server."""

import gzip
import json
import time
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

import jwt
import pytest

from livecomments.web.problems import STATUS
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.positions import comment_id
from tests.served import Served, served

EXPIRES_AT: Final = int(time.time()) + 86_400
JWT: Final[dict[str, Any]] = {
    "jwt_secret": "s" * 64,
    "jwt_issuer": "https://issuer.example",
    "jwt_audience": "livecomments",
}


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, **JWT) as deployment:
        yield deployment


def signed(secret: str = JWT["jwt_secret"], algorithm: str = "HS256", **claims: Any) -> str:
    whole = {"sub": "user-1", "iss": JWT["jwt_issuer"], "aud": JWT["jwt_audience"], "exp": EXPIRES_AT} | claims
    return jwt.encode({name: value for name, value in whole.items() if value is not None}, secret, algorithm)


async def test_a_post_is_answered_with_the_comment_and_history_has_the_same(running: Served) -> None:
    status, comment = await running.post("v1", "Hello  👋", await running.token("Ana"))
    assert status == 201
    assert (comment["videoId"], comment["message"], comment["author"]["displayName"]) == ("v1", "Hello  👋", "Ana")
    assert (await running.page("v1"))["comments"] == [comment]
    async with running.client.get(f"/comments/v1/{comment['commentId']}") as answer:
        assert await answer.json() == comment


async def test_an_empty_video_has_an_empty_last_page_whose_stream_begins_before_everything(running: Served) -> None:
    page = await running.page("nobody")
    assert page["comments"] == []
    assert page["nextCursor"] is None
    async with running.client.get(f"/comments/nobody?cursor={page['streamUrl'].split('=')[1]}") as answer:
        assert answer.status == 200


async def test_pages_walk_both_ways_over_the_same_comments(running: Served) -> None:
    token = await running.token()
    posted = [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(23)]
    for sort, expected in (("asc", posted), ("desc", posted[::-1])):
        seen: list[str] = []
        query: dict[str, Any] = {"pageSize": 7, "sort": sort}
        while True:
            page = await running.page("v", **query)
            seen += [comment["commentId"] for comment in page["comments"]]
            if page["nextCursor"] is None:
                break
            query["cursor"] = page["nextCursor"]
        assert seen == expected


async def test_a_retry_with_its_key_is_the_same_comment_and_another_body_is_a_conflict(running: Served) -> None:
    token = await running.token()
    first = await running.post("v", "once", token, key="k")
    assert await running.post("v", "once", token, key="k") == first
    status, problem = await running.post("v", "twice", token, key="k")
    assert (status, problem["code"]) == (409, "idempotency_conflict")
    assert len((await running.page("v"))["comments"]) == 1


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_retry_of_what_has_left_memory_is_answered_as_it_is_now(tmp_path: Path, is_deleted: bool) -> None:
    async with served(tmp_path, tail_records_max=1) as running:
        token = await running.token()
        first = await running.post("v", "secret", token, key="k")
        if is_deleted:
            headers = {"Authorization": f"Bearer {token}"}
            async with running.client.delete(f"/comments/v/{first[1]['commentId']}", headers=headers) as answer:
                assert answer.status == 204
        for n in range(5):
            assert (await running.post("v", f"{n}", token))[0] == 201
        status, again = await running.post("v", "secret", token, key="k")
        if is_deleted:
            assert (status, again["code"]) == (410, "comment_deleted")
            assert "secret" not in str(again)
        else:
            assert (status, again) == first


async def test_a_key_belongs_to_its_author(running: Served) -> None:
    one, other = await running.token("One"), await running.token("Other")
    assert (await running.post("v", "hi", one, key="k"))[0] == 201
    assert (await running.post("v", "hi", other, key="k"))[0] == 201
    assert len((await running.page("v"))["comments"]) == 2


async def test_an_author_deletes_a_comment_once_and_for_all(running: Served) -> None:
    token = await running.token()
    path = f"/comments/v/{(await running.post('v', 'oops', token))[1]['commentId']}"
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(2):
        async with running.client.delete(path, headers=headers) as answer:
            assert answer.status == 204
    async with running.client.get(path) as answer:
        assert (answer.status, (await answer.json())["code"]) == (410, "comment_deleted")
    assert (await running.page("v"))["comments"] == []


async def test_only_the_author_or_a_moderator_deletes(running: Served) -> None:
    author, other = await running.token("Author"), await running.token("Other")
    path = f"/comments/v/{(await running.post('v', 'mine', author))[1]['commentId']}"
    async with running.client.delete(path, headers={"Authorization": f"Bearer {other}"}) as answer:
        assert (answer.status, (await answer.json())["code"]) == (403, "not_the_author")
    moderator = signed(sub="mod", roles=["moderate"])
    async with running.client.delete(path, headers={"Authorization": f"Bearer {moderator}"}) as answer:
        assert answer.status == 204


async def test_a_jwt_speaks_for_its_subject(running: Served) -> None:
    status, comment = await running.post("v", "hi", signed(name="Ana"))
    assert status == 201
    assert comment["author"] == {"id": "user-1", "displayName": "Ana"}


@pytest.mark.parametrize(
    ("said", "is_taken"),
    [("JWT", True), ("application/jwt", True), ("Application/AT+JWT", True), ("at+jwt", True), ("dpop+jwt", False)],
)
async def test_the_type_of_a_token_is_a_media_type(running: Served, said: str, is_taken: bool) -> None:
    claims = {"sub": "user-1", "iss": JWT["jwt_issuer"], "aud": JWT["jwt_audience"], "exp": EXPIRES_AT}
    token = jwt.encode(claims, JWT["jwt_secret"], "HS256", {"typ": said})
    assert (await running.post("v", "hi", token))[0] == (201 if is_taken else 401)


@pytest.mark.parametrize(
    "token",
    [
        signed(secret="t" * 64),
        signed(exp=1),
        signed(exp=None),
        signed(sub=None),
        signed(iss="https://other.example"),
        signed(aud="other"),
        signed(aud=None),
        signed(sub=""),
        signed(roles="moderate"),
        signed(algorithm="HS384"),
        jwt.encode({"sub": "user-1"}, key="", algorithm="none"),
        "lcs_e30.",
        "lcs_e30.AAAA",
        "lcs_.",
        "lcs_é",
        "a.b.c",
        "x" * 9_000,
    ],
)
async def test_a_token_that_is_not_ours_is_refused(running: Served, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode().decode("latin-1"), "Content-Type": "application/json"}
    async with running.client.post("/comments/v", data=b'{"message":"hi"}', headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "invalid_token")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_session_survives_a_restart_and_still_deletes_its_own(tmp_path: Path) -> None:
    async with served(tmp_path) as first:
        token = await first.token()
        _, comment = await first.post("v", "kept", token)
    async with served(tmp_path) as second:
        assert (await second.page("v"))["comments"] == [comment]
        path = f"/comments/v/{comment['commentId']}"
        async with second.client.delete(path, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 204


async def test_a_session_ends_when_it_expires(tmp_path: Path) -> None:
    async with served(tmp_path, session_ttl_s=-1) as running:
        _, problem = await running.post("v", "late", await running.token())
        assert problem["code"] == "invalid_token"


async def test_guests_can_be_switched_off(tmp_path: Path) -> None:
    async with (
        served(tmp_path, guests=False) as running,
        running.client.post("/sessions", json={"displayName": "Ana"}) as answer,
    ):
        assert (answer.status, (await answer.json())["code"]) == (403, "guests_not_allowed")


BAD_BODIES = [
    (b"", "invalid_json"),
    (b"{", "invalid_json"),
    (b"[]", "invalid_json"),
    (b'"message"', "invalid_json"),
    (b"{}", "invalid_json"),
    (b'{"message":null}', "invalid_json"),
    (b'{"message":5}', "invalid_json"),
    (b'{"message":["hi"]}', "invalid_json"),
    (b'{"message":"\xff"}', "invalid_json"),
    (b'{"message":"\xed\xa0\x80"}', "invalid_json"),
    (b'{"message":"\\ud800"}', "invalid_json"),
    (b'{"message":' + b"[" * 3_000 + b"]" * 3_000 + b"}", "invalid_json"),
    (b'{"message":NaN}', "invalid_json"),
    ("{'message':'hi'}".encode("utf-16"), "invalid_json"),
    (b'{"message":"hi","videoTimeMs":-1}', "invalid_json"),
    (b'{"message":"hi","videoTimeMs":1.5}', "invalid_json"),
    (b'{"message":"hi","videoTimeMs":true}', "invalid_json"),
    (b'{"message":"hi","videoTimeMs":"5"}', "invalid_json"),
    (b'{"message":"hi","videoTimeMs":99999999999999999999}', "invalid_json"),
    (b'{"message":""}', "message_empty"),
    (b'{"message":" \\t\\n "}', "message_empty"),
    (b'{"message":"\\u200b\\u202e"}', "message_empty"),
    (b'{"message":"\\u0007"}', "message_empty"),
    (b'{"message":"a\\u0000b"}', "text_not_unicode"),
    (b'{"message":"' + b"a" * 501 + b'"}', "message_too_long"),
    (b'{"message":"' + b"a" * 2_049 + b'"}', "message_too_long"),
    (b'{"message":"' + b"a" * 9_000 + b'"}', "body_too_large"),
    (b'{"message":"' + b"a" * 2_000_000 + b'"}', "body_too_large"),
]


@pytest.mark.parametrize(("body", "code"), BAD_BODIES, ids=range(len(BAD_BODIES)))
async def test_a_bad_body_is_refused_by_its_code_and_nothing_is_written(
    running: Served, body: bytes, code: str
) -> None:
    headers = {"Authorization": f"Bearer {await running.token()}", "Content-Type": "application/json"}
    async with running.client.post("/comments/v", data=BytesIO(body), headers=headers) as answer:
        problem = await answer.json()
        assert (answer.status, problem["code"]) == (STATUS[code][0], code)
        assert answer.content_type == "application/problem+json"
    assert (await running.page("v"))["comments"] == []


async def test_500_graphemes_are_accepted_whatever_they_are_made_of(running: Served) -> None:
    status, comment = await running.post("v", "é" * 500, await running.token())
    assert (status, comment["message"]) == (201, "é" * 500)


CALLS = [
    ("POST", "/comments/bad%20id", {}, "invalid_video_id"),
    ("POST", "/comments/" + "v" * 65, {}, "invalid_video_id"),
    ("POST", "/comments/%C3%A9", {}, "invalid_video_id"),
    ("GET", "/comments/a%00b", {}, "invalid_video_id"),
    ("GET", "/comments/bad%20id/stream", {}, "invalid_video_id"),
    ("POST", "/comments/v", {}, "missing_token"),
    ("POST", "/comments/v", {"Authorization": "Basic abc"}, "invalid_token"),
    ("POST", "/comments/v", {"Authorization": "Bearer"}, "invalid_token"),
    ("DELETE", "/comments/v/" + "0" * 16, {}, "missing_token"),
    ("GET", "/comments/v/" + "0" * 15, {}, "invalid_cursor"),
    ("GET", "/comments/v?pageSize=0", {}, "invalid_page_size"),
    ("GET", "/comments/v?pageSize=101", {}, "invalid_page_size"),
    ("GET", "/comments/v?pageSize=-5", {}, "invalid_page_size"),
    ("GET", "/comments/v?pageSize=1e3", {}, "invalid_page_size"),
    ("GET", "/comments/v?pageSize=" + "9" * 5_000, {}, "invalid_page_size"),
    ("GET", "/comments/v?pageSize=%D9%A3", {}, "invalid_page_size"),
    ("GET", "/comments/v?sort=newest", {}, "invalid_sort"),
    ("GET", "/comments/v?include=everything", {}, "invalid_include"),
    ("GET", "/comments/v?cursor=nonsense", {}, "invalid_cursor"),
    ("GET", "/comments/v?cursor=" + "V" * 16, {}, "invalid_cursor"),
    ("GET", "/comments/v?cursor=" + "v" * 16, {}, "invalid_cursor"),
    ("GET", "/comments/v?pageSize=1&pageSize=2", {}, "invalid_parameter"),
    ("GET", "/comments/v?sort=asc&sort=desc", {}, "invalid_parameter"),
    ("GET", "/comments/v?cursor=&cursor=0000000000000000", {}, "invalid_parameter"),
    *(
        ("GET", f"/comments/v?{name}=0000000000000000", {}, "invalid_parameter")
        for name in ("after", "Cursor", "nextCursor", "next_cursor", "before", "since", "lastEventId", "page", "offset")
    ),
    *(
        ("GET", f"/comments/v?{name}=5", {}, "invalid_parameter")
        for name in ("pagesize", "page_size", "PageSize", "Sort")
    ),
    ("GET", "/comments/v%2fstream", {}, "invalid_video_id"),
    ("GET", "/comments/v%2F0000000000000000", {}, "invalid_video_id"),
    ("GET", "/videos%2Fv", {}, "not_found"),
    ("GET", "/comments/v/stream?after=nonsense", {}, "invalid_cursor"),
    ("GET", "/comments/v/stream?history=101", {}, "invalid_history"),
    ("GET", "/comments/v/stream?history=-1", {}, "invalid_history"),
    ("GET", "/comments/v/stream", {"Last-Event-ID": "x" * 8_000}, "invalid_cursor"),
    ("PATCH", "/comments/v", {}, "method_not_allowed"),
    ("GET", "/nothing/here", {}, "not_found"),
    ("GET", "/page/../app.py", {}, "not_found"),
    ("GET", "/page/nothing.js", {}, "not_found"),
]


@pytest.mark.parametrize(("method", "path", "headers", "code"), CALLS, ids=range(len(CALLS)))
async def test_a_bad_call_is_refused_by_its_code(
    running: Served, method: str, path: str, headers: dict[str, str], code: str
) -> None:
    async with running.client.request(method, path, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (STATUS[code][0], code)


METHODS: Final = {
    "/comments/v": "GET, HEAD, POST",
    "/comments/v/0000000000000000": "DELETE, GET, HEAD",
    "/comments/v/stream": "GET, HEAD",
    "/sessions": "POST",
    "/sessions/current": "DELETE, POST",
    "/videos/v": "GET, HEAD, PUT",
    "/videos/v/bans/u": "DELETE, PUT",
    "/": "GET, HEAD",
    "/openapi.json": "GET, HEAD",
}


@pytest.mark.parametrize(("path", "methods"), METHODS.items())
async def test_a_method_that_a_path_does_not_take_is_told_all_that_it_does(
    running: Served, path: str, methods: str
) -> None:
    for method in ("PATCH", "OPTIONS", "TRACE", "PROPFIND"):
        async with running.client.request(method, path) as answer:
            assert (answer.status, (await answer.json())["code"]) == (405, "method_not_allowed")
            assert ", ".join(sorted(answer.headers["Allow"].split(", "))) == methods


async def test_the_head_of_what_can_be_read_is_answered_without_its_body(running: Served) -> None:
    async with running.client.get("/comments/v") as whole, running.client.head("/comments/v") as head:
        assert (head.status, await head.read()) == (200, b"")
        assert head.headers["ETag"] == whole.headers["ETag"]


async def test_the_stream_of_a_page_is_said_relative_to_the_page(running: Served) -> None:
    page = await running.page("v")
    joined = urljoin(f"{running.url}/comments/v?pageSize=1", page["streamUrl"])
    assert joined.startswith(f"{running.url}/comments/v/stream?after=")
    assert urljoin("https://site.example/chat/comments/v", page["streamUrl"]).startswith(
        "https://site.example/chat/comments/v/stream?after="
    )


async def test_a_page_tells_what_was_deleted_within_it_when_it_is_asked_to(running: Served) -> None:
    token = await running.token()
    ids = [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(3)]
    before = (await running.page("v", sort="asc"))["streamUrl"].rpartition("=")[2]
    async with running.client.delete(f"/comments/v/{ids[1]}", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert answer.status == 204
    assert "deletes" not in await running.page("v")
    for sort in ("asc", "desc"):
        page = await running.page("v", include="deletes", sort=sort)
        assert page["deletes"] == [ids[1]]
        assert ids[1] not in [comment["commentId"] for comment in page["comments"]]
    polled = await running.page("v", include="deletes", sort="asc", cursor=before)
    assert (polled["comments"], polled["deletes"]) == ([], [ids[1]])
    assert (await running.page("w", include="deletes"))["deletes"] == []


async def test_what_was_seen_before_goes_with_a_key(running: Served) -> None:
    token, seen = await running.token(), (await running.page("v"))["streamUrl"].rpartition("=")[2]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-After": seen}
    for more, code in (
        ({}, "invalid_idempotency_key"),
        ({"Idempotency-Key": "k", "Idempotency-After": "x"}, "invalid_cursor"),
    ):
        async with running.client.post("/comments/v", json={"message": "hi"}, headers=headers | more) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, code)
    answers = []
    for _ in range(2):
        async with running.client.post(
            "/comments/v", json={"message": "hi"}, headers=headers | {"Idempotency-Key": "k"}
        ) as answer:
            answers.append((answer.status, await answer.json()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 201


async def test_a_cursor_of_another_partition_is_refused_everywhere(running: Served) -> None:
    page = await running.page("v")
    partition = int(page["streamUrl"][-4:], 32) & 1
    foreign = comment_id(1 << 40, 1 - partition)
    for path in (f"/comments/v?cursor={foreign}", f"/comments/v/{foreign}", f"/comments/v/stream?after={foreign}"):
        async with running.client.get(path) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize("key", ["", "k" * 129, "with space", "tab\there"])
async def test_an_idempotency_key_is_bounded_printable_ascii(running: Served, key: str) -> None:
    headers = {"Authorization": f"Bearer {await running.token()}", "Idempotency-Key": key}
    async with running.client.post("/comments/v", json={"message": "hi"}, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_idempotency_key")


@pytest.mark.parametrize("name", ["X-Idempotency-Key", "Idempotency_Key", "IdempotencyKey", "Idempotent-Key"])
async def test_a_key_by_nearly_its_name_is_refused_and_not_taken_for_none(running: Served, name: str) -> None:
    headers = {"Authorization": f"Bearer {await running.token()}", name: "k"}
    async with running.client.post("/comments/v", json={"message": "hi"}, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_idempotency_key")


async def test_a_parameter_of_somebody_else_changes_nothing(running: Served) -> None:
    async with running.client.get("/comments/v?utm_source=a&utm_source=b&_=1&fbclid=x&pageSize=3&pageSize=3") as answer:
        assert answer.status == 200


async def test_a_body_must_be_declared_as_json(running: Served) -> None:
    headers = {"Authorization": f"Bearer {await running.token()}", "Content-Type": "text/plain"}
    async with running.client.post("/comments/v", data=b'{"message":"hi"}', headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
async def test_a_compressed_body_is_not_read(running: Served, encoding: str) -> None:
    headers = {
        "Authorization": f"Bearer {await running.token()}",
        "Content-Type": "application/json",
        "Content-Encoding": encoding,
    }
    async with running.client.post("/comments/v", data=gzip.compress(b'{"message":"hi"}'), headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (415, "unsupported_media_type")
        assert answer.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("number", ["5", "5.0", "0.5e1", "-0", "-0.0", "1e3"])
async def test_a_whole_number_is_one_however_it_is_written(running: Served, number: str) -> None:
    body = b'\xef\xbb\xbf{"message":"hi","videoTimeMs":%s}' % number.encode()
    headers = {"Authorization": f"Bearer {await running.token()}", "Content-Type": "application/json"}
    async with running.client.post("/comments/v", data=body, headers=headers) as answer:
        assert answer.status == 201
        text = await answer.text()
        assert f'"videoTimeMs":{int(float(number))}' in text
    assert json.dumps((await running.page("v"))["comments"][0], separators=(",", ":"), ensure_ascii=False) == text


async def test_a_display_name_is_bounded(running: Served) -> None:
    for name in ("", "  ", "n" * 41, "n" * 300, "\u200b"):
        async with running.client.post("/sessions", json={"displayName": name}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "invalid_display_name")


NOT_ANSWERED = ("tests", "livecomments_command", "livecomments_loadtest", "infra")
"""Rooms whose errors no request ever sees."""


def test_every_leaf_of_the_error_tree_has_a_status() -> None:
    def leaves(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(leaves(below) for below in kind.__subclasses__()))

    for root in (Rejected, Unavailable):
        for leaf in leaves(root) - {root}:
            if not leaf.__subclasses__() and not leaf.__module__.startswith(NOT_ANSWERED):
                assert leaf.code in STATUS, leaf  # type: ignore[attr-defined]  # roots declare it
