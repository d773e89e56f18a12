"""The demo: plays a real chat into the embedded service, so that a new user sees it alive at once."""

import asyncio
import itertools
from typing import Final

import orjson

from livecomments_gateway.identity import Identity
from livecomments_gateway.posting import NewComment, Posting
from livecomments_loadtest.chat import CHAT
from livecomments_schemas.errors import Rejected, Unavailable
from livecomments_schemas.events import Author
from livecomments_schemas.text import clean_message

DEMO_VIDEO: Final = "demo"
_SILENCE_MAX_S: Final = 3.0
"""The chat's own pauses are cut to this, so that something always moves."""


async def play(posting: Posting) -> None:
    """Post the chat to the demo video at its own pace, over and over, until cancelled."""
    lines = [orjson.loads(line) for line in await asyncio.to_thread(lambda: CHAT.read_bytes().splitlines())]
    offset_ms = 0
    for line in itertools.cycle(lines):
        wait_s = (line["offsetMs"] - offset_ms) / 1000
        offset_ms = line["offsetMs"]
        await asyncio.sleep(min(max(wait_s, 0.2), _SILENCE_MAX_S))
        identity = Identity(Author(line["author"], line["author"]), frozenset())
        try:
            await posting.post(DEMO_VIDEO, identity, NewComment(clean_message(line["message"])))
        except (Rejected, Unavailable):
            continue  # a demo goes on
