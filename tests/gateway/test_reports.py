"""Reports of comments: said by viewers, counted once a person, seen and dismissed by moderators."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livecomments.following.tail import Entry
from livecomments_gateway.reports import OF_COMMENT_MAX, OF_PERSON_MAX, fold
from livecomments_schemas.events import REPORT_REASONS, comment_reported, reports_dismissed
from tests.gateway.test_answers import JWT, signed
from tests.gateway.test_videos import ROLES, call
from tests.served import Served, served

MODERATOR: Final = ROLES["moderator"]
SHOWN: Final = "/videos/v/reports"


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, **JWT) as deployment:
        yield deployment


def person(number: int) -> str:
    return signed(sub=f"person {number}")


async def written(running: Served, *messages: str) -> list[str]:
    """Ids of comments with these texts."""
    return [(await running.post("v", message, ROLES["user"] or ""))[1]["commentId"] for message in messages]


async def report(running: Served, comment_id: str, by: str, reason: str = "spam") -> tuple[int, Any]:
    return await call(running, "PUT", f"{SHOWN}/{comment_id}", by, {"reason": reason})


async def shown(running: Served, query: str = "") -> list[tuple[str, int]]:
    """Texts and counts, as a moderator sees them."""
    status, page = await call(running, "GET", SHOWN + query, MODERATOR)
    assert status == 200, page
    return [(each["comment"]["message"], each["count"]) for each in page["reports"]]


@pytest.mark.parametrize("tail_records_max", [1, 50_000])
async def test_what_people_report_is_listed_until_it_is_dismissed_or_deleted_also_after_a_restart(
    tmp_path: Path, tail_records_max: int
) -> None:
    async with served(tmp_path, **JWT) as running:
        rude, odd, spam, _ = await written(running, "rude", "odd", "spam", "fine")
        for number, of in ((1, rude), (2, rude), (1, odd), (3, spam)):
            assert await report(running, of, person(number)) == (204, None)
        assert await report(running, rude, person(1), "abuse") == (204, None)
        assert await report(running, rude, person(3), "abuse") == (204, None)
        expected = [("rude", 3), ("spam", 1), ("odd", 1)]
        assert await shown(running) == expected
        page = (await call(running, "GET", SHOWN, ROLES["owner"]))[1]
        assert page["reports"][0]["reasons"] == {"abuse": 1, "spam": 2}
        assert "person" not in str(page), "by whom is told to nobody"
    async with served(tmp_path, **JWT, tail_records_max=tail_records_max) as running:
        assert await shown(running) == expected
        assert await call(running, "DELETE", f"{SHOWN}/{rude}", MODERATOR) == (204, None)
        assert await call(running, "DELETE", f"/comments/v/{spam}", MODERATOR) == (204, None)
        assert await shown(running) == [("odd", 1)]
        await report(running, rude, person(1))
        assert await shown(running) == [("odd", 1)], "who has said it, has said it"
        await report(running, rude, person(4))
        assert await shown(running) == [("rude", 1), ("odd", 1)]
        assert await running.post("v", "the owner's", ROLES["user"] or "")


async def test_the_list_is_read_in_pages(running: Served) -> None:
    ids = await written(running, *"abcde")
    for number, of in enumerate(ids):
        await report(running, of, person(number))
    await call(running, "DELETE", f"/comments/v/{ids[3]}", MODERATOR)
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        _, page = await call(running, "GET", f"{SHOWN}?pageSize=2&cursor={cursor}", MODERATOR)
        found += [each["comment"]["message"] for each in page["reports"]]
        cursor = page["nextCursor"]
    assert found == ["e", "c", "b", "a"]


async def test_one_person_reports_so_many_an_hour_and_not_the_same_twice(running: Served) -> None:
    ids = await written(running, *(f"m{number}" for number in range(OF_PERSON_MAX + 3)))
    at_once = await asyncio.gather(*(report(running, of, person(0)) for of in ids))
    assert sorted(status for status, _ in at_once) == [204] * OF_PERSON_MAX + [429] * 3
    refused = next(of for of, (status, _) in zip(ids, at_once, strict=True) if status == 429)
    headers = {"Authorization": f"Bearer {person(0)}"}
    async with running.client.put(f"{SHOWN}/{refused}", json={"reason": "spam"}, headers=headers) as answer:
        assert (await answer.json())["code"] == "report_limit"
        assert 3_500 <= int(answer.headers["Retry-After"]) <= 3_600
    assert (await report(running, refused, person(1)))[0] == 204
    assert len(await shown(running, "?pageSize=100")) == OF_PERSON_MAX + 1


async def test_a_crowd_is_counted_up_to_a_bound_and_told_nothing(running: Served) -> None:
    (of,) = await written(running, "rude")
    for number in range(OF_COMMENT_MAX + 2):
        assert await report(running, of, person(number)) == (204, None)
    assert await shown(running) == [("rude", OF_COMMENT_MAX)]


async def test_what_cannot_be_reported_is_refused_with_its_code(running: Served) -> None:
    here, gone = await written(running, "here", "gone")
    await call(running, "DELETE", f"/comments/v/{gone}", MODERATOR)
    assert (await report(running, gone, person(1)))[1]["code"] == "comment_deleted"
    assert (await report(running, here[:-4] + "00g0", person(1)))[0] in (400, 404)
    assert (await report(running, "nothing", person(1)))[1]["code"] == "invalid_cursor"
    assert (await report(running, here, person(1), "boring"))[1]["code"] == "invalid_json"
    await call(running, "PUT", "/videos/v/bans/person%201", MODERATOR)
    assert (await report(running, here, person(1)))[1]["code"] == "banned"
    guest = await running.token()
    assert await report(running, here, guest) == (204, None)
    assert await shown(running) == [("here", 1)]


RECORDS: Final = st.lists(
    st.one_of(
        st.builds(
            lambda of, reason, by: comment_reported("v", of, reason, by),
            st.sampled_from(["000g000000000000", "000g000000200000"]),
            st.sampled_from(REPORT_REASONS),
            st.sampled_from("abc"),
        ),
        st.sampled_from(["000g000000000000", "000g000000200000"]).map(lambda of: reports_dismissed("v", of, "m")),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(records=RECORDS, data=st.data())
def test_reports_read_in_any_order_and_twice_are_the_same(records: list[Any], data: st.DataObject) -> None:
    entries = [
        Entry(position, 0, record.headers["type"], "v", record.headers["author"].decode(), record.value)
        for position, record in enumerate(records, 1)
    ]
    again = data.draw(st.lists(st.sampled_from(entries)) if entries else st.just([]))
    shuffled = fold(data.draw(st.permutations(entries + again)))
    assert shuffled == fold(entries)
    for of, one in shuffled.items():
        last = max((n for n, r in enumerate(records, 1) if r == reports_dismissed("v", of, "m")), default=0)
        counted = {entry.author_id for entry in entries if entry.position > last and of in entry.value.decode()}
        before = {entry.author_id for entry in entries if entry.position < last and of in entry.value.decode()}
        assert len(one.open) == len(counted - before)
