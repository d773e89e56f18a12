"""Whether a message may be shown, beyond its form: a list of words, and somebody else's decision within a deadline."""

import asyncio
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import regex

from livecomments.runtime.metrics import Counter
from livecomments_schemas.errors import Rejected, StartRefused, Unavailable

WORDS_MAX: Final = 10_000
"""In one list: a larger one belongs to somebody who decides for us."""
WORD_CHARS_MAX: Final = 100

_reviews = Counter("livecomments_gateway_reviews_total", "Messages reviewed, by result.", ["result"])


class ReviewRejected(Rejected):
    """The message holds what this place does not want."""

    code = "message_refused"


class ReviewUnavailable(Unavailable):
    """Nobody could say in time whether the message may be shown, and here that means no."""

    code = "review_unavailable"


class Message(NamedTuple):
    """What a reviewer is told."""

    video_id: str
    author_id: str
    text: str


class Reviewer(Protocol):
    """Somebody who decides."""

    async def allows(self, message: Message) -> bool:
        """Whether it may be shown. Whatever it raises, or no answer in time, is no decision."""


class WordList:
    """Refuses messages that hold one of its words as a whole word, whatever its case, width or accents' form."""

    def __init__(self, words: Iterable[str]) -> None:
        folded = sorted({_folded(word.strip()) for word in words if word.strip()}, key=len, reverse=True)
        if len(folded) > WORDS_MAX or any(len(word) > WORD_CHARS_MAX for word in folded):
            raise StartRefused(f"A word list has at most {WORDS_MAX} words of at most {WORD_CHARS_MAX} characters.")
        self._found = regex.compile(r"(?<!\w)(?:\L<words>)(?!\w)", words=folded) if folded else None

    @classmethod
    def of_file(cls, path: Path) -> "WordList":
        """A word or phrase a line, in UTF-8. Raises StartRefused: it cannot be read."""
        try:
            return cls(path.read_text("utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise StartRefused(f"The word list {path} cannot be read: {error}.") from error

    async def allows(self, message: Message) -> bool:
        return self._found is None or self._found.search(_folded(message.text)) is None


class Review:
    """All reviewers, asked in their order, within one deadline. `fails_open`: no decision is a yes."""

    def __init__(self, reviewers: Sequence[Reviewer], *, deadline_s: float = 0.5, fails_open: bool = True) -> None:
        self._reviewers = reviewers
        self._deadline_s = deadline_s
        self._fails_open = fails_open

    async def check(self, message: Message) -> None:
        """Raises ReviewRejected, ReviewUnavailable: nothing was written."""
        if not self._reviewers:
            return
        try:
            async with asyncio.timeout(self._deadline_s):
                for reviewer in self._reviewers:
                    if not await reviewer.allows(message):
                        _reviews.labels("refused").inc()
                        raise ReviewRejected("This message cannot be shown here. Say it in other words.")
        except ReviewRejected:
            raise
        except Exception as error:  # a reviewer is somebody else's code, and must not decide by breaking
            _reviews.labels("undecided").inc()
            if not self._fails_open:
                raise ReviewUnavailable("Messages cannot be reviewed just now. Try again in a moment.") from error
            return
        _reviews.labels("allowed").inc()


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
