"""Who plays in the demo, and who moderates it."""

from pathlib import Path

import jwt
import orjson

from livecomments_command.cast import HOST, MODERATOR, lines, named
from livecomments_command.demo import moderators_page, with_issuer
from livecomments_command.settings import RunSettings
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


def test_the_demo_has_a_moderator_unless_others_issue_tokens(tmp_path: Path) -> None:
    settings = with_issuer(RunSettings(data_dir=tmp_path))
    address, _, token = moderators_page(settings, "http://x").partition("#token=")
    assert address == "http://x/?video=demo"
    audience = settings.jwt_audience
    claims = jwt.decode(token, settings.jwt_secret, algorithms=["HS256"], audience=audience, issuer=settings.jwt_issuer)
    assert (claims["sub"], claims["roles"]) == (MODERATOR.author.id, ["own", "moderate"])
    assert with_issuer(RunSettings(data_dir=tmp_path)).jwt_secret != settings.jwt_secret
    of_others = RunSettings(data_dir=tmp_path, jwt_secret="s" * 64, jwt_issuer="i", jwt_audience="a")
    assert with_issuer(of_others) is of_others
    assert not moderators_page(of_others, "http://x")
