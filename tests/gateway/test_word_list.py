"""Which messages are refused for a word in them."""

from pathlib import Path

import pytest

from livecomments_gateway.word_list import MessageRefusedRejected, WordList
from livecomments_schemas.errors import StartRefused
from tests.served import served

WORDS = WordList(["darn", " go away ", "GRÖSSE", "(a+b)", "", "\u200d", "ساده"])


@pytest.mark.parametrize(
    "text",
    [
        "what a darn day",
        "DARN!",
        "ｄａｒｎ",
        "𝐝𝐚𝐫𝐧",
        "go   away now",
        "go\u3000away",
        "go\u2800away",
        "go\n\taway",
        "größe",
        "gro\u0308ße",
        "(a+b)",
        "سا\u200cده",
        *(f"da{hidden}rn" for hidden in "\u200b\u200c\u200d\u2060\u00ad\u034f\u061c\u180b\u202e\u2066\ufe0f\ufeff"),
        *(f"da{hidden}rn" for hidden in "\u115f\u1160\u3164\uffa0\u17b4\u2062\U000e0100\U000e0061\U0001d173"),
    ],
    ids=ascii,
)
def test_a_word_is_refused_as_a_whole_word_however_it_is_written(text: str) -> None:
    with pytest.raises(MessageRefusedRejected):
        WORDS.check(text)


@pytest.mark.parametrize("text", ["darned socks", "go not away", "d a r n", "", "fine 👨‍👩‍👧"])
def test_other_words_are_not(text: str) -> None:
    WORDS.check(text)


def test_an_empty_list_refuses_nothing_and_one_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    WordList([]).check("anything")
    with pytest.raises(StartRefused):
        WordList.of_file(tmp_path / "missing")
    with pytest.raises(StartRefused):
        WordList(["w" * 101])


async def test_a_refused_message_is_written_nowhere_and_one_with_joiners_as_it_was_sent(tmp_path: Path) -> None:
    (tmp_path / "words").write_text("darn\n")
    async with served(tmp_path, word_list=str(tmp_path / "words")) as running:
        token = await running.token()
        for text in ("Darn it", "Da\u200crn it"):
            status, problem = await running.post("v", text, token)
            assert (status, problem["code"]) == (403, "message_refused")
        fine = ["می\u200cخواهم", "👨\u200d👩\u200d👧", "क्\u200dष", "❤\ufe0f"]
        for text in fine:
            assert (await running.post("v", text, token))[0] == 201
        assert [each["message"] for each in (await running.page("v"))["comments"]] == fine[::-1]
