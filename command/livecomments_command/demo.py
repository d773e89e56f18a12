"""The demo: plays a real chat into the embedded service, so that a new user sees it alive at once."""

import asyncio
import itertools
from typing import Final

import orjson

from livecomments_command.cast import HOST, lines
from livecomments_gateway.facts import VideoSettings
from livecomments_gateway.posting import NewComment, Posting
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import video_changed
from livecomments_schemas.text import clean_message

DEMO_VIDEO: Final = "demo"
_TITLE: Final = "Friday night games"
_SILENCE_MIN_S: Final = 0.2
_SILENCE_MAX_S: Final = 3.0
"""The chat's own pauses are cut to this, so that something always moves."""


async def play(posting: Posting) -> None:
    """Post the chat to the demo video at its own pace, over and over, until cancelled."""
    chat = [orjson.loads(line) for line in await asyncio.to_thread(lambda: CHAT.read_bytes().splitlines())]
    has_title = False
    for line in itertools.chain.from_iterable(lines(chat) for _ in itertools.count()):
        await asyncio.sleep(min(max(line.wait_s, _SILENCE_MIN_S), _SILENCE_MAX_S))
        try:
            has_title = has_title or await _give_title(posting)
            await posting.post(DEMO_VIDEO, line.who, NewComment(clean_message(line.message)))
        except (Rejected, Unavailable):
            continue  # a demo goes on


async def _give_title(posting: Posting) -> bool:
    """Give the video a title, unless somebody has set it; returns True. Raises Unavailable leaves."""
    if not (await posting.videos.facts(DEMO_VIDEO)).is_known:
        settings = VideoSettings(title=_TITLE).said()
        await posting.append(DEMO_VIDEO, video_changed(DEMO_VIDEO, settings, HOST.author.id))
    return True
