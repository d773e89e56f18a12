"""Faults of framing that a message with more wrong in it does not show: each of these is right but for one thing."""

from typing import Final

import pytest
from starlette.types import Receive, Scope, Send

from livecomments_schemas.limits import BODY_BYTES_MAX
from tests.corpus.messages import CHUNKED, NEXT, NOTHING, chunked, first
from tests.web.driven import driven
from tests.web.echo import SAID

FRAMING_BYTES_MAX: Final = 65_536
LF_ALONE: Final = (
    b"5\nhello\r\n0\r\n\r\n",
    b"5;a=b\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\n\r\n",
    b"5\r\nhello\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\r\n\n",
)
CLOSES: Final = ((b"close, keep-alive",), (b"keep-alive, close",), (b"close", b"keep-alive"), (b"keep-alive", b"close"))


@pytest.mark.parametrize("fields", [(), (b"Connection: keep-alive",)])
async def test_http_1_0_is_never_answered_in_chunks(fields: tuple[bytes, ...]) -> None:
    raw = first(*fields, method=b"GET", version=b"HTTP/1.0").replace(b"/first", b"/chunked")
    echo, wire = await driven([raw + NEXT])
    head, _, body = bytes(wire.written).partition(b"\r\n\r\n")
    assert [one.path for one in echo.reached] == ["/chunked"]
    assert b"transfer-encoding" not in head
    assert head.endswith(b"\r\nconnection: close")
    assert body == SAID, "it ends where the connection does"


@pytest.mark.parametrize("body", LF_ALONE)
async def test_a_line_of_a_chunk_or_trailer_is_not_ended_by_lf_alone(body: bytes) -> None:
    alone = [first(CHUNKED) + body]  # answered at once, not when the body's time is over
    for sent in (alone, [alone[0] + NEXT], [first(CHUNKED), *(bytes([byte]) for byte in body), NEXT]):
        echo, wire = await driven(sent)
        assert not echo.reached
        assert wire.written.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
@pytest.mark.parametrize("options", CLOSES)
async def test_close_is_not_taken_back_by_keep_alive(options: tuple[bytes, ...], version: bytes) -> None:
    raw = first(*(b"Connection: " + one for one in options), method=b"GET", version=version)
    echo, wire = await driven([raw + NEXT])
    assert [one.path for one in echo.reached] == ["/first"]
    assert b"\r\nconnection: close\r\n" in wire.written
    assert b"keep-alive" not in wire.written


async def test_a_message_that_is_right_is_served_and_another_behind_it() -> None:
    raw = first(CHUNKED, b"Connection: keep-alive") + b"5\r\nhello\r\n" + NOTHING
    echo, _ = await driven([raw + NEXT])
    assert [one.content for one in echo.reached] == [b"hello", b""]


async def _refuse_unread(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer once more has come than any call takes."""
    taken = 0
    while taken <= BODY_BYTES_MAX:
        taken += len((await receive())["body"])
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("goes_on", [True, False])
async def test_who_is_refused_amid_a_body_without_an_end_is_told_that_no_other_request_is_read(goes_on: bool) -> None:
    # Told to go on, it would send its next request into a connection that ends.
    pieces = chunked(*[b"x" * 1_000] * 10, end=NOTHING if goes_on else b"")
    _, wire = await driven([first(CHUNKED) + pieces], app=_refuse_unread)
    assert wire.written.startswith(b"HTTP/1.1 413 ")
    assert (b"\r\nconnection: close\r\n" in wire.written) is not goes_on


@pytest.mark.parametrize("count", [100, 120])
async def test_what_frames_a_body_is_bounded_over_all_its_chunks(count: int) -> None:
    line = b"1;a=" + b"b" * 600 + b"\r\nx\r\n"
    echo, wire = await driven([first(CHUNKED) + line * count + NOTHING + NEXT])
    is_taken = count * len(line) < FRAMING_BYTES_MAX
    assert len(echo.reached) == (2 if is_taken else 0)
    assert wire.written.startswith(b"HTTP/1.1 200 " if is_taken else b"HTTP/1.1 400 ")
