"""Every address that a name stands for is an edge of its own."""

import pytest

from livecomments_command.probing.edges import edges_at


async def test_each_address_is_watched_once() -> None:
    found = await edges_at(["http://127.0.0.1:81/below", "http://127.0.0.2:81", "http://localhost:81"])
    assert [edge.said for edge in found] == ["127.0.0.1:81", "127.0.0.2:81"]
    assert (found[0].origin.host, found[0].origin.prefix) == ("127.0.0.1", "")


async def test_what_a_certificate_names_is_one_edge() -> None:
    (edge,) = await edges_at(["https://edges.example"])
    assert (edge.said, edge.origin.host) == ("edges.example", "edges.example")


async def test_a_name_that_stands_for_nothing_is_an_error() -> None:
    with pytest.raises(OSError, match=r"nothing\.invalid stands for nothing"):
        await edges_at(["http://nothing.invalid"])
