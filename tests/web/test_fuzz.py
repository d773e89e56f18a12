"""A moment of `make fuzz`."""

from typing import Final

from tests.web.fuzz import cut, run

EXAMPLES: Final = 150


def test_nothing_is_found_in_a_moment() -> None:
    run(EXAMPLES)


def test_pieces_are_the_whole() -> None:
    assert cut(b"abcdefgh", [3, 1]) == [b"abc", b"d", b"efg", b"h"]
