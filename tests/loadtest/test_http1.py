"""The response decoder: what RFC 9112 frames, however it is cut, and nothing else."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_loadtest.http1 import HEAD_BYTES_MAX, LINE_BYTES_MAX, Head, ResponseDecoder, ResponseMalformed

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def decode(response: bytes, cuts: list[int]) -> tuple[Head | None, bytes, bool]:
    decoder = ResponseDecoder()
    edges = [0, *sorted(min(cut, len(response)) for cut in cuts), len(response)]
    body = b"".join(decoder.feed(response[a:b]) for a, b in pairwise(edges) if a < b)
    return decoder.head, body, decoder.done


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.lists(st.integers(0, 600), max_size=20), st.booleans()
)
def test_chunks_come_out_whole_wherever_they_are_cut(chunks: list[bytes], cuts: list[int], trailers: bool) -> None:
    framed = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    end = b"0\r\nX-Sum: 1\r\n\r\n" if trailers else b"0\r\n\r\n"
    head, body, done = decode(CHUNKED + framed + end, cuts)
    assert (body, done) == (b"".join(chunks), True)
    assert head == Head(200, {b"transfer-encoding": b"chunked"})


@given(st.binary(max_size=60), st.lists(st.integers(0, 120), max_size=10))
def test_a_body_with_a_length_comes_out_whole(content: bytes, cuts: list[int]) -> None:
    response = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: %d\r\n\r\n%s" % (
        len(content),
        content,
    )
    assert decode(response, cuts)[1:] == (content, True)


def test_a_response_without_framing_lasts_until_the_peer_closes() -> None:
    decoder = ResponseDecoder()
    assert decoder.feed(b"HTTP/1.1 200 OK\r\n\r\nabc") == b"abc"
    assert not decoder.done
    assert not decoder.keep_alive
    decoder.feed_eof()
    assert decoder.done


def test_an_answer_without_a_body_ends_with_its_head() -> None:
    assert decode(b"HTTP/1.1 204 No Content\r\n\r\n", [])[1:] == (b"", True)


@pytest.mark.parametrize(
    ("connection", "version", "kept"), [("close", 1, False), ("keep-alive", 1, True), ("", 1, True), ("", 0, False)]
)
def test_a_connection_is_kept_only_where_both_sides_may(connection: str, version: int, kept: bool) -> None:
    decoder = ResponseDecoder()
    decoder.feed(f"HTTP/1.{version} 200 OK\r\nconnection: {connection}\r\ncontent-length: 0\r\n\r\n".encode())
    assert decoder.keep_alive is kept


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nname : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        b"HTTP/1.1 204 No Content\r\n\r\nx",
        CHUNKED + b"x\r\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"0\r\n\r\nmore",
        CHUNKED + b"1;" + b"x" * LINE_BYTES_MAX,
        b"HTTP/1.1 200 OK\r\nx: " + b"x" * HEAD_BYTES_MAX,
    ],
)
def test_what_is_no_response_is_refused(response: bytes) -> None:
    with pytest.raises(ResponseMalformed):
        ResponseDecoder().feed(response)


def test_a_response_cut_short_is_refused() -> None:
    decoder = ResponseDecoder()
    decoder.feed(CHUNKED + b"5\r\nab")
    with pytest.raises(ResponseMalformed):
        decoder.feed_eof()


def test_retry_after_is_read_in_seconds_only() -> None:
    assert Head(503, {b"retry-after": b"3"}).retry_after_s() == 3
    assert Head(503, {b"retry-after": b"Fri, 31 Dec 1999 23:59:59 GMT"}).retry_after_s() == 0
