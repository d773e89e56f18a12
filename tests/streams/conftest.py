"""Worlds, as the tests of history have them."""

from tests.history.conftest import file, ground, world

__all__ = ["file", "ground", "world"]
