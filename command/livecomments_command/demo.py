"""The demo: plays a real chat into the embedded service, so that a new user sees it alive at once."""

import asyncio
import dataclasses
import itertools
import secrets
import time
from typing import Final

import orjson

from livecomments_command.cast import HOST, MODERATOR, WELCOME, lines
from livecomments_command.settings import RunSettings
from livecomments_gateway.facts import MODERATE, OWN, VideoSettings
from livecomments_gateway.jwts import sign_jwt
from livecomments_gateway.posting import NewComment, Posting
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import comment_pinned, video_changed
from livecomments_schemas.text import clean_message

DEMO_VIDEO: Final = "demo"
_TITLE: Final = "Friday night games"
_SILENCE_MIN_S: Final = 0.2
_SILENCE_MAX_S: Final = 3.0
"""The chat's own pauses are cut to this, so that something always moves."""


_ISSUER: Final = "livecomments-demo"
_TOKEN_LIFE_S: Final = 86_400
"""A day: whoever looks on tomorrow starts the demo again."""


def with_issuer(settings: RunSettings) -> RunSettings:
    """Return the settings with an issuer of tokens that lasts as long as this process, unless they name one."""
    if settings.jwt_secret or settings.jwt_jwks_url:
        return settings
    secret = secrets.token_hex(32)
    return dataclasses.replace(settings, jwt_secret=secret, jwt_issuer=_ISSUER, jwt_audience=_ISSUER)


def moderators_page(settings: RunSettings, url: str) -> str:
    """Return the address of the page for the demo's moderator, with a token; nothing where others issue tokens."""
    if settings.jwt_issuer != _ISSUER:
        return ""
    author = MODERATOR.author
    claims = {"iss": _ISSUER, "aud": _ISSUER, "exp": int(time.time()) + _TOKEN_LIFE_S, "roles": [OWN, MODERATE]}
    token = sign_jwt(claims | {"sub": author.id, "name": author.display_name}, settings.jwt_secret)
    return f"{url}/?video={DEMO_VIDEO}#token={token}"


async def play(posting: Posting) -> None:
    """Post the chat to the demo video at its own pace, over and over, until cancelled."""
    chat = [orjson.loads(line) for line in await asyncio.to_thread(lambda: CHAT.read_bytes().splitlines())]
    has_title = has_pin = False
    for line in itertools.chain.from_iterable(lines(chat) for _ in itertools.count()):
        await asyncio.sleep(min(max(line.wait_s, _SILENCE_MIN_S), _SILENCE_MAX_S))
        try:
            has_title = has_title or await _give_title(posting)
            answer = await posting.post(DEMO_VIDEO, line.who, NewComment(clean_message(line.message)))
            if line.message == WELCOME and not has_pin:
                pin = comment_pinned(DEMO_VIDEO, orjson.loads(answer)["commentId"], line.who.author.id)
                await posting.append(DEMO_VIDEO, pin)
                has_pin = True
        except (Rejected, Unavailable):
            continue  # a demo goes on


async def _give_title(posting: Posting) -> bool:
    """Give the video a title, unless somebody has set it; returns True. Raises Unavailable leaves."""
    if not (await posting.videos.facts(DEMO_VIDEO)).is_known:
        settings = VideoSettings(title=_TITLE).said()
        await posting.append(DEMO_VIDEO, video_changed(DEMO_VIDEO, settings, HOST.author.id))
    return True
