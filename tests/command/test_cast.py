"""Who plays in the demo."""

import orjson

from livecomments_command.cast import HOST, MODERATOR, lines, named
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.text import clean_message


def test_everybody_has_a_name_of_their_own_the_same_in_mentions() -> None:
    chat = [orjson.loads(line) for line in CHAT.read_bytes().splitlines()]
    names = {said["author"]: named(said["author"]) for said in chat}
    assert len(set(names.values())) == len(names)
    assert named("@viewer-0001 hello") == f"@{names['viewer-0001']} hello"
    assert not [line for line in lines(chat) if "viewer-0" in line.message + line.who.author.display_name]


def test_the_demo_has_roles_scripts_and_nothing_that_would_be_refused() -> None:
    chat = [{"offsetMs": number * 1000, "author": f"viewer-{number:04}", "message": "hi"} for number in range(100)]
    played = list(lines(chat))
    assert {HOST, MODERATOR} <= {line.who for line in played}
    assert any("\u0600" <= character <= "\u06ff" for line in played for character in line.message)
    for line in played:
        assert clean_message(line.message) == line.message
    assert sum(line.wait_s for line in played) == 99
