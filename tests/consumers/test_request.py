"""Which heads the fast lane reads, and that it reads them as the server's own parser would."""

from typing import Final

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_consumers.request import StreamRequest, stream_request

HEAD: Final = b"GET /comments/v/stream%b HTTP/1.1\r\nHost: h\r\n%b\r\n"


def head(query: bytes = b"", *lines: bytes) -> bytes:
    return HEAD % (query, b"".join(line + b"\r\n" for line in lines))


def test_a_plain_request_is_read() -> None:
    sent = head(b"?after=a%2Fb&history=3&after=", b"Last-Event-ID:  x y ", b"Accept-Encoding: gzip")
    assert stream_request(sent, "198.51.100.7") == StreamRequest(
        "v",
        [("after", "a/b"), ("history", "3"), ("after", "")],
        {"host": "h", "last-event-id": "x y", "accept-encoding": "gzip"},
        "198.51.100.7",
    )


def test_an_offer_to_upgrade_is_ignored() -> None:
    """As the JDK's client and `curl --http2` send it."""
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAA")
    assert stream_request(head(b"", *offer), "") is not None


@pytest.mark.parametrize(
    "odd",
    [
        b"GET /comments/v/stream HTTP/1.1\r\n\r\n",  # no host
        b"GET /comments/v/stream HTTP/1.0\r\nHost: h\r\n\r\n",
        b"POST /comments/v/stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"get /comments/v/stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET http://h/comments/v/stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /comments/v/stream/ HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /comments/%76/stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /comments/../stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /comments/" + b"v" * 65 + b"/stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET  /comments/v/stream HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /comments/v/stream HTTP/1.1\nHost: h\n\n",
        head(b"?after=\x80"),
        head(b"", b"Host: other"),
        head(b"", b"Content-Length: 5"),
        head(b"", b"Content-Length: 0"),
        head(b"", b"Transfer-Encoding: chunked"),
        head(b"", b"Expect: 100-continue"),
        head(b"", b"X: a", b"x: b"),
        head(b"", b"X: a", b" folded"),
        head(b"", b"X : a"),
        head(b"", b": a"),
        head(b"", b"X"),
        head(b"", b"X: a\0b"),
        head(b"", b"X: a\rb"),
        head(b"", b"X: a\nb"),
    ],
)
def test_whatever_is_unusual_is_left_to_the_server(odd: bytes) -> None:
    assert stream_request(odd, "") is None


class Parsed:
    """What uvicorn's parser makes of a head."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.is_complete = False
        parser = httptools.HttpRequestParser(self)
        parser.feed_data(data)
        self.method = parser.get_method()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_message_complete(self) -> None:
        self.is_complete = True


PIECES: Final = st.sampled_from(
    [
        b"X: a",
        b"X:a",
        b"X:\ta \t",
        b"X-1: \xe9",
        b"X: ",
        b"Last-Event-ID: 1",
        b"x",
        b" y",
        b"A: b: c",
        b"\x00: a",
        b"a\r: b",
    ]
)
NOISE: Final = st.binary(max_size=12)


@given(
    st.sampled_from([b"", b"?", b"?after=1", b"?a=%41", b"?\xff", b"#f", b"?a#f"]),
    st.lists(st.one_of(PIECES, NOISE), max_size=4),
)
def test_what_it_takes_the_servers_parser_reads_the_same_way(query: bytes, lines: list[bytes]) -> None:
    data = head(query, *lines)
    end = data.find(b"\r\n\r\n") + 4
    found = stream_request(data[:end], "")  # as the door cuts it
    if found is None:
        return
    parsed = Parsed(data[:end])
    assert parsed.is_complete
    assert parsed.method == b"GET"
    assert parsed.url == b"/comments/v/stream" + query
    assert {name.encode(): value.encode("latin-1") for name, value in found.headers.items()} == {
        name: value.rstrip(b" \t") for name, value in parsed.headers
    }
    assert len(parsed.headers) == len(found.headers)
