"""Which messages are refused, and what happens when nobody decides."""

import asyncio
from pathlib import Path

import pytest

from livecomments_gateway.review import Message, Review, ReviewRejected, ReviewUnavailable, WordList
from livecomments_schemas.errors import StartRefused
from tests.served import served


def message(text: str) -> Message:
    return Message("v", "ana", text)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("what a darn day", False),
        ("DARN!", False),
        ("ｄａｒｎ", False),
        ("darned socks", True),
        ("go   away now", False),
        ("go not away", True),
        ("größe", False),
        ("(a+b)", False),
        ("", True),
    ],
)
async def test_a_word_is_refused_as_a_whole_word_however_it_is_written(text: str, allowed: bool) -> None:
    words = WordList(["darn", " go away ", "GRÖSSE", "(a+b)", ""])
    assert await words.allows(message(text)) is allowed


async def test_an_empty_list_refuses_nothing_and_one_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert await WordList([]).allows(message("anything"))
    with pytest.raises(StartRefused):
        WordList.of_file(tmp_path / "missing")


class Silent:
    """Never decides."""

    async def allows(self, message: Message) -> bool:
        await asyncio.Event().wait()
        return True


class Broken:
    """Breaks."""

    async def allows(self, message: Message) -> bool:
        raise RuntimeError("a bug of somebody else")


@pytest.mark.parametrize("reviewer", [Silent(), Broken()], ids=["silent", "broken"])
async def test_no_decision_is_what_was_chosen_and_comes_in_time(reviewer: Silent | Broken) -> None:
    async with asyncio.timeout(5.0):
        await Review([reviewer], deadline_s=0.01).check(message("hi"))
        with pytest.raises(ReviewUnavailable):
            await Review([reviewer], deadline_s=0.01, fails_open=False).check(message("hi"))
        with pytest.raises(ReviewRejected):  # what was decided before counts
            await Review([WordList(["hi"]), reviewer], deadline_s=0.01).check(message("hi"))


async def test_a_refused_message_is_written_nowhere(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("darn\n")
    async with served(tmp_path, word_list=str(tmp_path / "words")) as running:
        token = await running.token()
        status, problem = await running.post("v", "Darn it", token)
        assert (status, problem["code"]) == (403, "message_refused")
        assert (await running.post("v", "oh well", token))[0] == 201
        assert [each["message"] for each in (await running.page("v"))["comments"]] == ["oh well"]
