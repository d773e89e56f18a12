"""Who plays in the demo: names for the people of the real chat, a host, a moderator, and a few lines in other scripts.

Pure. The chat's own authors are numbers, `viewer-0024`; each gets the same name wherever it stands, in mentions too.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from livecomments_gateway.facts import MODERATE, OWN
from livecomments_gateway.identity import Identity
from livecomments_schemas.events import Author

_NAMES: Final = """
    Ana Ben Noor Mateo Yuki Priya Lena Omar Sofia Jonas Mei Tariq Ines Pavel Aisha Luca Hana Kofi
    Elif Diego Freya Arjun Chloe Ivan Zeynep Tom Leila Marek Nia Bruno Suki Anton Rosa Samuel Greta
    Hugo Maya Samir Olga Finn Tala Emre Nora Jun Amara Viktor Lucia Sven Dalia Rafael Ida Minh Clara
    Yusuf Astrid Nikhil Paola Oskar Farah Leo Rin Marta Kwame Elena Theo Sana Bjorn Carmen Ali Judit
""".split()  # noqa: SIM905 - a literal is a line a name
_INITIALS: Final = ("", *(f" {letter}." for letter in "BKMRSTWADLP"))
"""With the names 840 people, and the chat has 836."""
_NUMBERED: Final = re.compile(r"viewer-(\d{4})")
_CHAT_LINES: Final = 7
"""Lines of the chat between two of ours."""

HOST: Final = Identity(Author("demo-host", "Mara Lindqvist"), frozenset((OWN,)))
MODERATOR: Final = Identity(Author("demo-moderator", "Idris"), frozenset((MODERATE,)))
WELCOME: Final = "Welcome, everybody! Be kind, no spoilers. Questions for the end go in here all evening."


class DemoComment(NamedTuple):
    """One comment of the demo. `wait_s`: since the one before."""

    wait_s: float
    who: Identity
    message: str


def _guest(user_id: str, name: str) -> Identity:
    return Identity(Author(user_id, name), frozenset())


_ASIDES: Final = (
    (MODERATOR, WELCOME),
    (_guest("demo-layla", "ليلى"), "مساء الخير من عمّان! الصوت واضح عندي 👍"),
    (HOST, "One more round, then we read your questions."),
    (_guest("demo-haruto", "はると"), "今の動き、すごい!もう一回見たい"),
    (_guest("demo-noa", "נועה"), "שלום לכולם, הגעתי עכשיו. מה פספסתי?"),
    (_guest("demo-zoe", "Zoé"), "Bonsoir depuis Lyon, c’est déjà la troisième partie ?"),
    (MODERATOR, "Links are held back tonight; ask one of us if you need to post one."),
    (_guest("demo-asha", "आशा"), "पहली बार लाइव देख रही हूँ, बहुत मज़ा आ रहा है"),
    (_guest("demo-piotr", "Piotr"), "Dobry wieczór! Kto dziś wygrywa?"),
    (HOST, "That was luck, I admit it. 😄"),
    (_guest("demo-minseo", "민서"), "와 방금 진짜 아슬아슬했다 ㅋㅋㅋ"),
    (_guest("demo-joao", "João"), "Boa noite! Primeira vez aqui, já estou a gostar 🎉"),
)


def named(text: str) -> str:
    """Put a name in the place of each numbered viewer."""
    return _NUMBERED.sub(lambda found: _name(int(found[1])), text)


def _name(number: int) -> str:
    return _NAMES[number % len(_NAMES)] + _INITIALS[number // len(_NAMES) % len(_INITIALS)]


def lines(chat: Iterable[Mapping[str, Any]]) -> Iterator[DemoComment]:
    """Yield the demo's comments: the chat at its own pace, with one of ours before every seventh line of it."""
    offset_ms, asides = 0, 0
    for count, said in enumerate(chat):
        if count % _CHAT_LINES == 0:
            who, message = _ASIDES[asides % len(_ASIDES)]
            asides += 1
            yield DemoComment(0.0, who, message)
        wait_s = (said["offsetMs"] - offset_ms) / 1000
        offset_ms = said["offsetMs"]
        yield DemoComment(wait_s, _guest(said["author"], named(said["author"])), named(said["message"]))
