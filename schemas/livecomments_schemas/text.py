"""What people may write, and its normal form. Cleaning twice changes nothing.

Source: Unicode UAX #9 (bidi controls), UAX #15 (NFC; never NFKC, which rewrites what was meant), UAX #29 (graphemes),
UTS #51 (emoji sequences keep ZWJ and tags).
"""

import unicodedata
from typing import ClassVar, Final

import regex

from livecomments_schemas.errors import Rejected
from livecomments_schemas.limits import (
    COMBINING_MARKS_MAX,
    DISPLAY_NAME_BYTES_MAX,
    DISPLAY_NAME_GRAPHEMES_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_GRAPHEMES_MAX,
)


class TextRejected(Rejected):
    """A message or a name that cannot be accepted as it is. Each leaf says why."""


class TextNotUnicodeRejected(TextRejected):
    """Holds a lone surrogate or U+0000."""

    code: ClassVar[str] = "text_not_unicode"


class MessageEmptyRejected(TextRejected):
    """Nothing visible is left of the message."""

    code: ClassVar[str] = "message_empty"


class MessageTooLongRejected(TextRejected):
    """More bytes or graphemes than a message may have."""

    code: ClassVar[str] = "message_too_long"


class DisplayNameRejected(TextRejected):
    """Empty or over-long name."""

    code: ClassVar[str] = "invalid_display_name"


_FLAG: Final = r"\U0001F3F4[\U000E0061-\U000E007A\U000E0030-\U000E0039]{3,6}\U000E007F"
_MONGOLIAN: Final = r"[\p{Mongolian}&&\p{L}]"
_UNWANTED: Final = regex.compile(
    rf"(?:{_FLAG})(*SKIP)(*FAIL)"  # tag characters stand only in the flags of England, Scotland, Wales, …
    # Mongolian spells common words with its vowel separator, maybe after a variant of a letter.
    rf"|(?<={_MONGOLIAN}[\u180B-\u180D\u180F]?)\u180E(?={_MONGOLIAN})(*SKIP)(*FAIL)"
    r"|[\p{Cc}--[\n\t]]|\p{Cs}|\p{Co}|\p{Cn}"  # controls, surrogates, private use, unassigned
    # invisible characters and bidi controls
    r"|[\u200B\u200E\u200F\u061C\u202A-\u202E\u2060-\u2064\u2066-\u206F\uFEFF\u00AD\u180E\uFFF9-\uFFFB]"
    r"|[\U000E0000-\U000E007F]",
    regex.V1,
)
_LINE_BREAKS: Final = regex.compile(r"\r\n?|[\u2028\u2029\u0085\v\f]")
_JOINERS: Final = r"[\u200C\u200D]"
_MARKS: Final = regex.compile(  # joiners between marks do not begin a new character, so the marks after them count too
    rf"((?:\p{{M}}{_JOINERS}*+){{{COMBINING_MARKS_MAX}}})\p{{M}}[\p{{M}}\u200C\u200D]*"
)
_IGNORED: Final = r"\p{Default_Ignorable_Code_Point}\p{Cf}\p{Cc}\p{Cs}\p{Co}\p{Cn}"
"""Shown by nothing of their own, wherever they stand: joiners, variation selectors, bidi controls, Hangul fillers, …"""
_BLANK: Final = r"\s\u2800\uFFFC\U0001D159\U00013441\U00013442"
"""Shown as a blank: the empty Braille pattern, the place of an object that is not there, the note without a head, the
empty hieroglyphs."""
_VISIBLE: Final = regex.compile(rf"[^{_IGNORED}{_BLANK}\p{{M}}]")
"""A mark alone shows nothing that was meant."""
_BLANKS: Final = regex.compile(rf"[{_BLANK}]+")
_UNSEEN: Final = regex.compile(rf"[[{_IGNORED}]--[{_BLANK}]]+", regex.V1)
_OVER_LETTERS: Final = regex.compile(
    r"(?<=[\p{Latin}\p{Greek}\p{Cyrillic}\p{N}])(?:[\p{M}&&\p{Inherited}]|\p{Me})+", regex.V1
)
"""Marks that belong to no letter, as lines through a text or a hundred accents: those that do have joined it (NFKC)."""
_IN_BOXES: Final = {first + at: 0x61 + at for first in (0x1F150, 0x1F170) for at in range(26)}
"""Letters in black circles and squares, which NFKC leaves as they are, unlike those in white ones."""
_GRAPHEME: Final = regex.compile(r"\X")


def clean_message(text: str) -> str:
    """Clean a message to its normal form: NFC, no controls but line feed and tab, no bidi controls, few marks, trimmed.

    Raises:
        TextNotUnicodeRejected, MessageTooLongRejected, MessageEmptyRejected: the writer must change the message.
    """
    size = _utf8_size(text)
    if size > MESSAGE_BYTES_MAX:
        raise MessageTooLongRejected(f"A message has at most {MESSAGE_BYTES_MAX} bytes of UTF-8; this one has {size}.")
    # Most of chat is printable ASCII, which is in normal form already.
    cleaned = text.strip() if text.isascii() and text.isprintable() else _normal_form(text)
    if not _VISIBLE.search(cleaned):
        raise MessageEmptyRejected("Write something: this message has no visible character.")
    if len(cleaned) > MESSAGE_GRAPHEMES_MAX and len(_GRAPHEME.findall(cleaned)) > MESSAGE_GRAPHEMES_MAX:
        raise MessageTooLongRejected(f"A message has at most {MESSAGE_GRAPHEMES_MAX} characters.")
    if not cleaned.isascii() and _utf8_size(cleaned) > MESSAGE_BYTES_MAX:
        raise MessageTooLongRejected(f"A message has at most {MESSAGE_BYTES_MAX} bytes of UTF-8.")
    return cleaned


def clean_display_name(text: str) -> str:
    """Clean a display name to its normal form: as a message, on one line.

    Raises:
        TextNotUnicodeRejected, DisplayNameRejected: the user must choose another name.
    """
    if _utf8_size(text) > DISPLAY_NAME_BYTES_MAX:
        raise DisplayNameRejected(f"A display name has at most {DISPLAY_NAME_BYTES_MAX} bytes of UTF-8.")
    cleaned = " ".join(_normal_form(text).split())
    if not _VISIBLE.search(cleaned) or len(_GRAPHEME.findall(cleaned)) > DISPLAY_NAME_GRAPHEMES_MAX:
        raise DisplayNameRejected(f"A display name has 1 to {DISPLAY_NAME_GRAPHEMES_MAX} characters.")
    if _utf8_size(cleaned) > DISPLAY_NAME_BYTES_MAX:  # a few characters have longer normal forms
        raise DisplayNameRejected(f"A display name has at most {DISPLAY_NAME_BYTES_MAX} bytes of UTF-8.")
    return cleaned


def fitting_display_name(text: str) -> str:
    """Clean a name that somebody else chose, cut behind a whole grapheme where it is too long.

    Raises:
        TextNotUnicodeRejected, DisplayNameRejected: nothing visible is left to show.
    """
    bounded = text[:DISPLAY_NAME_BYTES_MAX]  # normal forms are costly, and no grapheme beyond it would fit
    _utf8_size(bounded)
    graphemes = _GRAPHEME.findall(" ".join(_normal_form(bounded).split()))[:DISPLAY_NAME_GRAPHEMES_MAX]
    while len("".join(graphemes).encode()) > DISPLAY_NAME_BYTES_MAX:
        graphemes.pop()
    return clean_display_name("".join(graphemes))


def skeleton(text: str) -> str:
    """Reduce a text to what a reader sees, for comparing it with others; never shown, and never part of a record.

    Without what is not seen, in one case and width (NFKC, case folded), letters without marks that no language puts on
    them, each run of blanks as one space. Texts that look alike by letters of different alphabets stay different.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    seen: str = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)).translate(_IN_BOXES).casefold()
    seen = _UNSEEN.sub("", unicodedata.normalize("NFKC", seen))  # folding and composing may bring more of them
    seen = _OVER_LETTERS.sub("", unicodedata.normalize("NFKC", seen))
    seen = _BLANKS.sub(" ", unicodedata.normalize("NFKC", seen))
    return seen.strip()


def _normal_form(text: str) -> str:
    # Removing a control can bring two characters together that compose, so NFC comes after it.
    kept = _UNWANTED.sub("", _LINE_BREAKS.sub("\n", text))
    bounded: str = _MARKS.sub(r"\1", unicodedata.normalize("NFC", kept))
    return bounded.strip()


def _utf8_size(text: str) -> int:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise TextNotUnicodeRejected("The text holds a lone surrogate. Send whole Unicode characters.") from error
    if "\0" in text:
        raise TextNotUnicodeRejected("The text holds U+0000. Remove it.")
    return size
