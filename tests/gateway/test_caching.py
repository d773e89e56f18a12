"""Pages that a cache may keep for a moment, and reads that a crowd shares."""

import asyncio
from pathlib import Path

import pytest

from livecomments_gateway.etags import is_unchanged, validator
from tests.served import served


async def test_a_page_that_has_not_changed_is_not_sent_again_and_one_with_a_deleted_comment_is(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        token = await running.token()
        _, comment = await running.post("v", "hi", token)
        async with running.client.get("/comments/v") as answer:
            etag, body = answer.headers["ETag"], await answer.read()
            assert answer.headers["Cache-Control"] == "public, max-age=0, s-maxage=1"
            assert b"hi" in body
        known = {"If-None-Match": f'"other", W/{etag}'}
        async with running.client.get("/comments/v", headers=known) as answer:
            assert (answer.status, await answer.read(), answer.headers["ETag"]) == (304, b"", etag)
        authorization = {"Authorization": f"Bearer {token}"}
        async with running.client.delete(f"/comments/v/{comment['commentId']}", headers=authorization) as answer:
            assert answer.status == 204
        async with running.client.get("/comments/v", headers=known) as answer:
            assert answer.status == 200
            assert b"hi" not in await answer.read()


async def test_people_read_what_they_wrote_at_once_in_a_crowd_too(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        token = await running.token()

        async def write_and_read(n: int) -> None:
            _, comment = await running.post("v", f"m{n}", token)
            assert comment in (await running.page("v", pageSize=100))["comments"]

        await asyncio.gather(*(write_and_read(n) for n in range(40)))


async def test_only_a_page_to_which_nothing_is_added_any_more_is_kept_longer(tmp_path: Path) -> None:
    async with served(tmp_path, tail_records_max=2) as running:  # deep pages are read from the store
        token = await running.token()
        posted = [(await running.post("v", f"m{n}", token))[1]["commentId"] for n in range(10)]

        async def kept_s(query: str) -> int:
            async with running.client.get(f"/comments/v?pageSize=3&{query}") as answer:
                return int(answer.headers["Cache-Control"].rpartition("=")[2])

        deep = [f"cursor={posted[5]}", "sort=asc", f"sort=asc&cursor={posted[2]}"]
        async with asyncio.timeout(20):
            for query in deep:
                while await kept_s(query) != 10:  # until it is stored
                    pass
        for query in ("", "sort=desc", f"sort=asc&cursor={posted[6]}", f"sort=asc&cursor={posted[8]}"):
            assert await kept_s(query) == 1, query
        async with running.client.get(f"/comments/v?pageSize=3&{deep[0]}") as answer:
            known = {"If-None-Match": answer.headers["ETag"]}
        authorization = {"Authorization": f"Bearer {token}"}
        async with running.client.delete(f"/comments/v/{posted[4]}", headers=authorization) as answer:
            assert answer.status == 204
        async with running.client.get(f"/comments/v?pageSize=3&{deep[0]}", headers=known) as answer:
            assert answer.status == 200
            assert '"m4"' not in await answer.text()


@pytest.mark.parametrize(
    ("sent", "unchanged"), [(None, False), ("*", True), ('"x"', False), ('"x","y"', False), ("x", False), ("", False)]
)
def test_only_a_named_answer_is_unchanged(sent: str | None, unchanged: bool) -> None:
    etag = validator(b"page")
    assert is_unchanged(sent, etag) is unchanged
    assert is_unchanged(etag, etag)
    assert not is_unchanged(etag, validator(b"pagE"))
