"""HTTP/1.1 messages, right and wrong, byte for byte: what of them is served, and how the rest is refused.

Each names the section of RFC 9110 or 9112 that says what is right; where that leaves a server a choice, ours is the
strict one. `HIDDEN` is in many of them where a server that frames a message wrongly would find a request.
"""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, NamedTuple

HIDDEN: Final = b"POST /hidden HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
"""Never to be served, by anybody, in any of these."""
NEXT: Final = b"GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
HOST: Final = b"Host: h"
CHUNKED: Final = b"Transfer-Encoding: chunked"
NOTHING: Final = b"0\r\n\r\n"


class Vector(NamedTuple):
    """`served` are the paths that reach the application, in their order; `refusals` the statuses that may follow."""

    section: str
    name: str
    raw: bytes
    served: tuple[str, ...]
    refusals: frozenset[int]


def head(line: bytes, *fields: bytes) -> bytes:
    """A head of these lines."""
    return b"\r\n".join([line, *fields, b"", b""])


def first(*fields: bytes, method: bytes = b"POST", version: bytes = b"HTTP/1.1") -> bytes:
    """The head of the request that is meant to be served first."""
    return head(method + b" /first " + version, HOST, *fields)


def chunked(*chunks: bytes, end: bytes = NOTHING) -> bytes:
    """Content in these chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def _served(section: str, name: str, raws: Iterable[bytes], *paths: str) -> Iterator[Vector]:
    for number, raw in enumerate(raws):
        yield Vector(section, f"{name} {number}", raw, paths or ("/first", "/next"), frozenset())


def _refused(
    section: str, name: str, raws: Iterable[bytes], *statuses: int, after: tuple[str, ...] = ()
) -> Iterator[Vector]:
    for number, raw in enumerate(raws):
        yield Vector(section, f"{name} {number}", raw + HIDDEN, after, frozenset(statuses or (400,)))


def offers() -> Iterator[Vector]:
    """An upgrade that is offered changes nothing of what follows."""
    tokens = (b"h2c", b"websocket", b"WebSocket", b"TLS/1.2", b"HTTP/2.0", b"foo/9", b"h2c, websocket", b"")
    settings = b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"
    options = (b"Upgrade", b"upgrade, HTTP2-Settings", b"keep-alive, Upgrade", b"HTTP2-Settings")
    raws = [
        first(b"Upgrade: " + token, settings, b"Connection: " + option, framing) + body + NEXT
        for token, option in product(tokens, options)
        for framing, body in ((b"Content-Length: %d" % len(HIDDEN), HIDDEN), (CHUNKED, chunked(HIDDEN)))
    ]
    yield from _served("9110 7.8", "an offer of an upgrade", raws)
    raws = [first(b"Upgrade: " + token, b"Connection: Upgrade", method=b"GET") + NEXT for token in tokens]
    yield from _served("9110 7.8", "an offer without content", raws)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield from _refused("9113 3.4", "a preface of HTTP/2", [preface], 505)


def lengths() -> Iterator[Vector]:
    """Content-Length frames the content whatever the method; one that is none, or two, cannot."""
    said = b"Content-Length: %d" % len(HIDDEN)
    methods = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND", b"x")
    yield from _served("9112 6.3", "content of any method", [first(said, method=m) + HIDDEN + NEXT for m in methods])
    good = (b"%03d" % len(HIDDEN), b" %d " % len(HIDDEN), b"\t%d\t" % len(HIDDEN), b"0" * 40 + b"%d" % len(HIDDEN))
    yield from _served("9110 8.6", "digits", [first(b"Content-Length:" + g) + HIDDEN + NEXT for g in good])
    yield from _served("9110 8.6", "none", [first(b"Content-Length: 0") + NEXT, first() + NEXT])
    bad = (
        *(b"", b"-1", b"+5", b"0x5", b"5.0", b"5e0", b"5,5", b"5, 5", b"5, 6", b"5 5", b"5;", b"a", b'"5"', b"5\x0b"),
        *(b"\xd9\xa5", b"5\x00", b"0_5", b"5,", b",5", b"5 a", b"-0", b"0-"),
    )
    yield from _refused("9112 6.3", "a length that is none", [first(b"Content-Length: " + b) for b in bad])
    pairs = ((b"5", b"6"), (b"5", b"5"), (b"0", b"52"), (b"52", b"0"), (b"5", b""), (b"", b"5"))
    both = [first(b"Content-Length: " + one, b"Content-Length: " + other) for one, other in pairs]
    yield from _refused("9112 6.3", "two lengths", both)
    huge = (b"9" * 19, b"9" * 20, b"18446744073709551621", b"4294967301" * 4, b"9" * 5_000)
    yield from _refused("9110 8.6", "a length beyond all numbers", [first(b"Content-Length: " + h) for h in huge], 413)


def codings() -> Iterator[Vector]:
    """Only `chunked`, alone and last, says where a request ends."""
    body = chunked(HIDDEN)
    good = (b"chunked", b"Chunked", b"CHUNKED", b" chunked\t")
    yield from _served("9112 7.1", "chunked", [first(b"Transfer-Encoding:" + g) + body + NEXT for g in good])
    others = (b"gzip, chunked", b"x, chunked", b"identity, chunked", b"compress , chunked")
    said = [first(b"Transfer-Encoding: " + other) + body for other in others]
    yield from _refused("9112 6.1", "a coding we do not have", said, 501)
    bad = (
        *(b"identity", b"gzip", b"chunked, gzip", b"chunked, identity", b"chunked, chunked", b"", b"x", b"chunke"),
        *(b"chunked;q=1", b"chunked ;", b"chunkedx", b"xchunked", b'"chunked"', b"chunked,", b"\x0bchunked"),
        *(b"chun ked", b"chunked\x00", b"cow", b"chunked, chunked, chunked"),
    )
    said = [first(b"Transfer-Encoding: " + b) + body for b in bad]
    yield from _refused("9112 6.3", "a coding that does not end", said, 400, 501)
    twice = [
        first(CHUNKED, CHUNKED),
        first(CHUNKED, b"Transfer-Encoding: identity"),
        first(CHUNKED, b"tRANSFER-eNCODING: x"),
    ]
    yield from _refused("9112 6.1", "two codings", [raw + body for raw in twice], 400, 501)
    orders = product((b"0", b"5", b"%d" % len(body)), (0, 1))
    both = [first(*((b"Content-Length: " + n, CHUNKED)[:: -1 if turned else 1])) + body for n, turned in orders]
    yield from _refused("9112 6.1", "a coding and a length", both)
    yield from _refused("9112 6.1", "a coding in HTTP/1.0", [first(CHUNKED, version=b"HTTP/1.0") + body])
    names = (b"Transfer-Encoding : chunked", b"Transfer\x00-Encoding: chunked", b" Transfer-Encoding: chunked")
    said = [first(name, b"Content-Length: 3") + b"abc" for name in names]
    yield from _refused("9112 5.1", "a coding by another name", said)


def chunks() -> Iterator[Vector]:
    """Chunks as long as they say, each line ended by CR and LF; extensions are passed over."""
    whole = b"5%b\r\nhello\r\n" + NOTHING
    extensions = (
        *(
            b"",
            b";a",
            b";a=b",
            b' ; a = "b;\\"\r"'.replace(b"\r", b""),
            b";a;b;c",
            b";" + b"a" * 900,
            b";a=\xe9"[:3] + b"b",
        ),
        *(b';a="\xe9"', b"\t;\ta"),
    )
    yield from _served("9112 7.1.1", "an extension", [first(CHUNKED) + whole % e + NEXT for e in extensions])
    sizes = (b"5", b"05", b"0000000000000005")
    yield from _served("9112 7.1", "a size", [first(CHUNKED) + s + b"\r\nhello\r\n" + NOTHING + NEXT for s in sizes])
    ones = chunked(*([b"x"] * 2_000))
    many = (
        chunked(HIDDEN, HIDDEN),
        b"0" * 9 + b"\r\n\r\n",
        ones,
        b"00;a\r\n\r\n",
        chunked(HIDDEN).upper().replace(HIDDEN.upper(), HIDDEN),
    )
    yield from _served("9112 7.1", "chunks", [first(CHUNKED) + body + NEXT for body in many])
    bad = (
        *(
            b"z\r\n",
            b"-5\r\nhello\r\n",
            b"+5\r\nhello\r\n",
            b"0x5\r\nhello\r\n",
            b" 5\r\nhello\r\n",
            b"5 \r\nhello\r\n",
        ),
        *(
            b"5\nhello\r\n",
            b"5\rhello\r\n",
            b"\r\nhello\r\n",
            b"5\r\nhelloo\r\n",
            b"5\r\nhell\r\n",
            b"5\r\nhello\n0\r\n",
        ),
        *(b"5\r\nhello", b"5;\x00\r\nhello\r\n", b"5;a\nb\r\nhello\r\n", b"5;a\rb\r\nhello\r\n", b"5 a\r\nhello\r\n"),
        *(b"5=a\r\nhello\r\n", b"5,5\r\nhello\r\n", b"5;=b\r\nhello\r\n", b'5;a="\r\nhello\r\n', b"0_5\r\nhello\r\n"),
        *(b"1" + b"0" * 16 + b"\r\nhello\r\n", b"f" * 17 + b"\r\nhello\r\n", b"5;" + b"a" * 2_000 + b"\r\nhello\r\n"),
        *(b"\xd9\xa5\r\nhello\r\n", b"0\n\n", b"0\r\r\n\r\n", b"00000000000000005\r\nhello\r\n"),
    )
    yield from _refused("9112 7.1", "a chunk that is none", [first(CHUNKED) + b for b in bad])
    flood = b"1;" + b"a" * 900 + b"\r\nx\r\n"
    yield from _refused("9112 7.1.1", "megabytes of extensions", [first(CHUNKED) + flood * 1_200])


def trailers() -> Iterator[Vector]:
    """Trailers are dropped unread, and end where a blank line does."""
    fields = (
        *(b"A: b", b"Authorization: Bearer x", b"Content-Length: 52", b"Transfer-Encoding: chunked", b"Host: other"),
        *(b"A: b\r\nC: d", b"X: " + b"a" * 4_000),
    )
    bodies = [chunked(b"hello", end=b"0\r\n" + f + b"\r\n\r\n") for f in fields]
    yield from _served("9110 6.5", "a trailer", [first(CHUNKED) + body + NEXT for body in bodies])
    bad = (b"no colon", b" folded: a", b"A : b", b"A: b\n", b"A: b\x00", b": b", b"GET /hidden HTTP/1.1\r\nHost: h")
    bodies = [chunked(b"hello", end=b"0\r\n" + f + b"\r\n\r\n") for f in bad]
    yield from _refused("9110 6.5", "a trailer that is no field", [first(CHUNKED) + body for body in bodies])
    long = [b"X: " + b"a" * 100_000, b"X: y\r\n" * 20_000]
    bodies = [chunked(b"hello", end=b"0\r\n" + f + b"\r\n\r\n") for f in long]
    yield from _refused("9110 6.5", "trailers without end", [first(CHUNKED) + body for body in bodies], 431, 400)


def fields() -> Iterator[Vector]:
    """A field is a name, a colon right behind it, and a value without control characters, on one line."""
    good = (
        b"X:y",
        b"X: y",
        b"X:\t y \t",
        b"X:",
        b"X: \xe9",
        b"!#$%&'*+-.^_`|~: y",
        b"X: a:b",
        b"1: y",
        b"X: " + b"a" * 9_000,
    )
    yield from _served("9112 5", "a field", [first(g, method=b"GET") + NEXT for g in good])
    bad = (
        *(b"X : y", b"X\t: y", b": y", b" X: y", b"\tX: y", b"X", b"X y", b"X: y\r\n folded", b"X: y\r\n\tfolded"),
        *(b"X: a\x00b", b"X: a\x01b", b"X: a\x7fb", b"X: a\rb", b"X: a\nb", b"X: a\x0bb", b"X: a\x0cb", b"X: a\x1bb"),
        *(b"\x00: y", b"X(: y", b"X@: y", b"X[: y", b"X/: y", b"X\xe9: y", b'X": y', b"X,Y: z", b"{X}: y", b"X=: y"),
        *(b"X: y\r", b"\r: y", b"X\r\n: y", b"X;: y", b"<X>: y", b"X\\: y"),
    )
    yield from _refused("9112 5", "a field that is none", [first(b, method=b"GET") for b in bad])
    once = (b"Authorization", b"Content-Type", b"Content-Encoding", b"Idempotency-Key", b"Idempotency-After", b"Origin")
    pairs = ((b"a", b"b"), (b"a", b"a"), (b"", b"a"), (b"a", b""))
    two = [first(name + b": " + a, name.lower() + b": " + b, method=b"GET") for name in once for a, b in pairs]
    yield from _refused("9110 5.3", "two fields of which there is one", two)
    lists = (b"Accept", b"Accept-Encoding", b"If-None-Match", b"Cookie", b"X-Forwarded-For", b"Cache-Control", b"Via")
    several = [first(name + b": a", name + b": b", method=b"GET") + NEXT for name in lists]
    yield from _served("9110 5.3", "a list on two lines", several)
    raws = [b"GET /first HTTP/1.1\r\n Host: h\r\n\r\n", b"GET /first HTTP/1.1\r\n\tX: y\r\nHost: h\r\n\r\n"]
    yield from _refused("9112 2.2", "white space before the first field", raws)
    lines = (
        b"GET /first HTTP/1.1\nHost: h\n\n",
        b"GET /first HTTP/1.1\r\nHost: h\n\r\n",
        b"GET /first HTTP/1.1\nHost: h\r\n\r\n",
    )
    yield from _refused("9112 2.2", "a line that is ended by LF alone", lines)
    yield from _refused("9112 2.2", "a line that is ended by CR alone", [b"GET /first HTTP/1.1\rHost: h\r\r\n\r\n"])
    large = [first(b"X: " + b"a" * 20_000), first(*([b"X: y"] * 150))]
    yield from _refused("6585 5", "more than a head may hold", large, 431)


def lines() -> Iterator[Vector]:
    """A method, a target and HTTP/1.x, with one space between them."""
    bad = (
        *(b"GET", b"GET /first", b"GET  /first HTTP/1.1", b"GET /first  HTTP/1.1", b" GET /first HTTP/1.1"),
        *(b"GET /first HTTP/1.1 ", b"GET\t/first HTTP/1.1", b"GET /first\tHTTP/1.1", b"GET /fir st HTTP/1.1"),
        *(b"GET /first http/1.1", b"GET /first HTTP/1", b"GET /first HTTP/1.10", b"GET /first HTTP/01.1"),
        *(b"GET /first HTTP/1,1", b"GET /first HTTP 1.1", b"GET /first HTTP/ 1.1", b"GET /first RTSP/1.0"),
        *(b"GET /first ICE/1.0", b"GET /first HTTPS/1.1", b"GET /first HTTP/x.1", b"GET /first HTTP/1.x"),
        *(b"G@T /first HTTP/1.1", b"G:T /first HTTP/1.1", b"G\x00T /first HTTP/1.1", b"G\xe9T /first HTTP/1.1"),
        *(b"(GET) /first HTTP/1.1", b"GET, /first HTTP/1.1", b"/first HTTP/1.1", b"GET /f\x00 HTTP/1.1"),
        *(b"GET /f\xe9 HTTP/1.1", b"GET /f\x7f HTTP/1.1", b"GET /first#a HTTP/1.1", b"GET first HTTP/1.1"),
        *(
            b"GET ?a HTTP/1.1",
            b"GET * HTTP/1.1",
            b"GET h:80 HTTP/1.1",
            b"GET //[ HTTP/1.1\x0b",
            b"\x16\x03\x01\x02\x00\x01",
        ),
        *(
            b"GET /%zz HTTP/1.1",
            b"GET /%f HTTP/1.1",
        ),
    )
    yield from _refused("9112 3", "a request line that is none", [head(b, HOST) for b in bad])
    versions = (b"HTTP/0.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/0.0")
    yield from _refused("9110 15.6.6", "another version", [first(method=b"GET", version=v) for v in versions], 505)
    yield from _served(
        "9110 2.5", "a higher minor version", [first(method=b"GET", version=b"HTTP/1.%d" % n) + NEXT for n in (2, 9)]
    )
    tunnels = [
        head(b"CONNECT h:80 HTTP/1.1", HOST),
        head(b"CONNECT /first HTTP/1.1", HOST),
        head(b"M" * 60 + b" /first HTTP/1.1", HOST),
    ]
    yield from _refused("9110 9.1", "a method we do not have", tunnels, 501, 400)
    yield from _refused(
        "9112 3", "a target beyond the bound", [head(b"GET /" + b"a" * 20_000 + b" HTTP/1.1", HOST)], 414
    )
    before = [b"\r\n" + first() + NEXT, b"\r\n\r\n" + first() + b"\r\n" + NEXT]
    yield from _served("9112 2.2", "an empty line before", before)
    yield from _refused("9112 2.2", "empty lines without end", [b"\r\n" * 500])


def targets() -> Iterator[Vector]:
    """The forms of a target, and the host that it must name."""
    whole = (
        b"http://h/first",
        b"HTTP://h/first",
        b"https://h:8443/first",
        b"http://other/first?a=b",
        b"http://[::1]:80/first",
    )
    yield from _served("9112 3.2.2", "a whole address", [head(b"GET " + w + b" HTTP/1.1", HOST) + NEXT for w in whole])
    yield from _served(
        "9112 3.2.2", "an address without a path", [head(b"GET http://h HTTP/1.1", HOST) + NEXT], "/", "/next"
    )
    yield from _served("9112 3.2.1", "a query", [head(b"GET /first?a=%ff&b=%zz|{} HTTP/1.1", HOST) + NEXT])
    bad = (
        b"http:///first",
        b"http://:80/first",
        b"ftp://h/first",
        b"http://u@h/first",
        b"http:/first",
        b"http://h h/first",
        b"http://a\\b/first",
    )
    yield from _refused("9112 3.2.2", "an address that is none", [head(b"GET " + b + b" HTTP/1.1", HOST) for b in bad])
    yield from _refused("9112 3.2", "an address, but no Host", [head(b"GET http://h/first HTTP/1.1")])
    yield from _served("9110 9.3.7", "OPTIONS of the server", [head(b"OPTIONS * HTTP/1.1", HOST) + NEXT], "*", "/next")
    slashes = (b"/a%2Fb", b"/a%2fb", b"/%2F", b"/a%2F..%2Fb")
    for slash in slashes:
        raw = head(b"GET " + slash + b" HTTP/1.1", HOST) + NEXT
        yield from _served("9110 4.2.3", f"an escaped slash, {slash!r}", [raw], slash.decode(), "/next")
    hosts = (
        b"h",
        b"h:8080",
        b"h:",
        b"",
        b"[::1]",
        b"[::1]:80",
        b"127.0.0.1",
        b"xn--bcher-kva.example",
        b"a_b.example",
        b"%41",
        b"[v1.a]",
    )
    yield from _served("9110 7.2", "a Host", [head(b"GET /first HTTP/1.1", b"Host: " + h) + NEXT for h in hosts])
    wrong = (
        *(
            b"a/b",
            b"a b",
            b"a@b",
            b"a?b",
            b"a#b",
            b"h:80:80",
            b"h:x",
            b"[::1",
            b"::1",
            b"a\\b",
            b"h, h",
            b"<h>",
            b"%zz",
            b"http://h",
        ),
        *(b"h\xe9", b"h:-1", b'"h"', b"[::1]x", b"{h}", b"h|"),
    )
    yield from _refused("9112 3.2", "a Host that is none", [head(b"GET /first HTTP/1.1", b"Host: " + w) for w in wrong])
    two = [first(HOST, method=b"GET"), first(b"host: other", method=b"GET"), first(b"HOST:", method=b"GET")]
    yield from _refused("9112 3.2", "two Hosts", [*two, first(HOST, method=b"GET", version=b"HTTP/1.0")])
    none = [head(b"GET /first HTTP/1.1"), head(b"GET /first HTTP/1.1", b"X-Host: h"), head(b"GET /first HTTP/1.2")]
    yield from _refused("9112 3.2", "no Host", none)


def connections() -> Iterator[Vector]:
    """Which requests may follow on the same connection, and what is said of content before it comes."""
    closes = (b"close", b"Close", b"keep-alive, close", b"close, x", b"x,close")
    raws = [first(b"Connection: " + c, method=b"GET") + HIDDEN for c in closes]
    yield from _served("9112 9.6", "a connection that was to be closed", raws, "/first")
    old = [first(method=b"GET", version=b"HTTP/1.0"), first(b"Connection: x", method=b"GET", version=b"HTTP/1.0")]
    old += [head(b"GET /first HTTP/1.0"), first(b"Connection: keep-alive, close", method=b"GET", version=b"HTTP/1.0")]
    yield from _served("9112 9.3", "HTTP/1.0, which closes", [raw + HIDDEN for raw in old], "/first")
    kept = first(b"Connection: keep-alive", method=b"GET", version=b"HTTP/1.0")
    yield from _served("9112 C.2.2", "HTTP/1.0, which is kept", [kept + NEXT, kept.replace(b"keep", b"Keep") + NEXT])
    expects = (b"100-continue", b"100-Continue", b"x", b"")
    said = [first(b"Expect: " + e, b"Content-Length: %d" % len(HIDDEN)) + HIDDEN + NEXT for e in expects]
    yield from _served("9110 10.1.1", "an expectation", said)
    yield from _served("9110 10.1.1", "an expectation without content", [first(b"Expect: 100-continue") + NEXT])
    many = first(method=b"GET") * 20 + NEXT
    yield from _served("9112 9.3.2", "requests behind each other", [many], *["/first"] * 20, "/next")
    mixed = first(b"Content-Length: 3") + b"abc" + first(CHUNKED) + chunked(HIDDEN) + first(method=b"HEAD") + NEXT
    yield from _served("9112 9.3.2", "contents behind each other", [mixed], "/first", "/first", "/first", "/next")
    behind = [
        first(method=b"GET") + bad
        for bad in (b"nonsense\r\n\r\n", head(b"GET / HTTP/2.0", HOST), head(b"GET / HTTP/1.1"))
    ]
    yield from _refused("9112 9.3.2", "what is none behind a request", behind, 400, 505, after=("/first",))


def all_vectors() -> list[Vector]:
    """All of them."""
    makers = (offers, lengths, codings, chunks, trailers, fields, lines, targets, connections)
    return [vector for maker in makers for vector in maker()]
