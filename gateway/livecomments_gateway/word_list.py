"""Which messages are refused for a word in them: compared by what a reader sees (`schemas.text.skeleton`)."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import regex

from livecomments.runtime.metrics import Counter
from livecomments_schemas.errors import Rejected, StartRefused
from livecomments_schemas.text import skeleton

WORDS_MAX: Final = 10_000
"""Words of one list. A larger one belongs into a service of its own, in front of this one."""
WORD_CHARS_MAX: Final = 100

_checks = Counter("livecomments_gateway_word_checks_total", "Messages held against the word list.", ["result"])


class MessageRefusedRejected(Rejected):
    """The message holds a word of the list."""

    code = "message_refused"


class WordList:
    """Refuses messages with one of its words as a whole word, whatever its case, accents or invisible characters."""

    def __init__(self, words: Iterable[str]) -> None:
        seen = sorted({skeleton(word) for word in words} - {""}, key=len, reverse=True)
        if len(seen) > WORDS_MAX or any(len(word) > WORD_CHARS_MAX for word in seen):
            raise StartRefused(f"A word list has at most {WORDS_MAX} words of at most {WORD_CHARS_MAX} characters.")
        self._found = regex.compile(r"(?<!\w)(?:\L<words>)(?!\w)", words=seen) if seen else None

    @classmethod
    def of_file(cls, path: Path) -> "WordList":
        """Read a word or phrase a line, in UTF-8. Raises StartRefused: it cannot be read."""
        try:
            return cls(path.read_text("utf-8").splitlines())
        except (OSError, UnicodeDecodeError) as error:
            raise StartRefused(f"The word list {path} cannot be read: {error}.") from error

    def check(self, message: str) -> None:
        """Check a message. Raises MessageRefusedRejected: nothing was written."""
        if self._found is None:
            return
        if self._found.search(skeleton(message)):
            _checks.labels("refused").inc()
            raise MessageRefusedRejected("This message cannot be shown here. Say it in other words.")
        _checks.labels("allowed").inc()


NO_WORDS: Final = WordList(())
