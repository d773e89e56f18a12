"""Which requests the fast lane takes; what a head says is for the door, whoever serves it (tests/web/)."""

from typing import Final

import pytest

from livecomments.web.heads import RequestHead, parse_head
from livecomments_consumers.request import StreamRequest, stream_request

HEAD: Final = b"GET /comments/v/stream%b HTTP/1.1\r\nHost: h\r\n%b\r\n"


def head(query: bytes = b"", *lines: bytes) -> RequestHead:
    return parse_head(HEAD % (query, b"".join(line + b"\r\n" for line in lines)))


def test_a_plain_request_is_read() -> None:
    sent = head(b"?after=a%2Fb&history=3&after=", b"Last-Event-ID:  x y ", b"Accept-Encoding: gzip")
    assert stream_request(sent, "198.51.100.7") == StreamRequest(
        "v",
        [("after", "a/b"), ("history", "3"), ("after", "")],
        {"host": "h", "last-event-id": "x y", "accept-encoding": "gzip"},
        "198.51.100.7",
    )


ODD: Final = [
    HEAD.replace(b"GET", b"POST") % (b"", b""),
    HEAD.replace(b"GET", b"get") % (b"", b""),
    HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") % (b"", b""),
    HEAD.replace(b"/v/", b"/%%76/") % (b"", b""),
    HEAD.replace(b"/v/", b"/../") % (b"", b""),
    HEAD.replace(b"/v/", b"/" + b"v" * 65 + b"/") % (b"", b""),
    HEAD.replace(b"stream", b"stream/") % (b"", b""),
    HEAD % (b"", b"Content-Length: 5\r\n"),
    HEAD % (b"", b"Transfer-Encoding: chunked\r\n"),
    HEAD % (b"", b"X: a\r\nx: b\r\n"),
]


@pytest.mark.parametrize("odd", ODD)
def test_whatever_is_unusual_is_left_to_the_route(odd: bytes) -> None:
    assert stream_request(parse_head(odd), "") is None


@pytest.mark.parametrize(
    "offer",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAEAAEAA"),
        (b"Upgrade: websocket",),
        (b"Expect: 100-continue",),
    ],
)
def test_an_offer_changes_nothing(offer: tuple[bytes, ...]) -> None:
    """As the JDK's client and `curl --http2` make one with each request."""
    assert stream_request(head(b"", *offer), "") is not None
