"""Bad input by class: what is sent, byte for byte, and the codes that may answer it.

Made by crossing small lists, so that a case is a line here and its neighbours are not forgotten.
"""

import json
import time
from collections.abc import Iterator
from itertools import product
from typing import Any, Final, NamedTuple

import jwt

SECRET: Final = "s" * 64
ISSUER: Final = "https://issuer.example"
AUDIENCE: Final = "livecomments"
SITE: Final = "https://site.example"


class Case(NamedTuple):
    """`codes` are problem codes, or statuses as text of what is no problem; "closed" is no answer at all."""

    name: str
    raw: bytes
    codes: frozenset[str]


def request(method: str, target: str | bytes, body: bytes | None = None, *headers: bytes) -> bytes:
    """A whole request that asks for the connection to be closed behind it."""
    path = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + path + b" HTTP/1.1", b"Host: h", b"Connection: close", *headers]
    if body is not None:
        lines += [b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*lines, b"", body or b""])


def post(body: bytes, token: str, *headers: bytes, path: str = "/comments/v") -> bytes:
    """A POST of a comment."""
    return request("POST", path, body, b"Authorization: Bearer " + token.encode(), _JSON, *headers)


_JSON: Final = b"Content-Type: application/json"


def signed(secret: str = SECRET, algorithm: str = "HS256", header: dict[str, Any] | None = None, **claims: Any) -> str:
    """A JWT; a claim of None is left out."""
    said = {"sub": "u", "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 600} | claims
    payload = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
    return jwt.PyJWS().encode(payload, secret, algorithm, header)  # which looks at no claim


def _of(kind: str, codes: str, raws: Iterator[bytes] | list[bytes]) -> Iterator[Case]:
    for number, raw in enumerate(raws):
        yield Case(f"{kind}-{number}", raw, frozenset(codes.split()))


def tokens(good: str) -> Iterator[Case]:
    """Claims of the wrong kind, other algorithms and secrets, other shapes; a good one cut and changed anywhere."""
    odd: list[Any] = [None, "", 0, -1, 1, [], {}, [None], "x", True, 1.5, "9" * 400]
    bad = [signed(**{claim: value}) for claim in ("iss", "aud", "exp") for value in odd]
    bad += [signed(sub=value) for value in odd if value not in ("x", "9" * 400, None)] + [signed(sub="x" * 129)]
    bad += [signed(sub="\ud800"), signed(sub="a\udfffb"), signed(exp=float("inf"))]
    bad += [signed(roles=value) for value in ("moderate", 1, {"a": 1}, [1], [None])]
    bad += [signed(nbf=int(time.time()) + 3_600), signed(iat=int(time.time()) + 3_600), signed(exp=1)]
    bad += [signed(secret="t" * 64), signed(algorithm="HS384"), signed(algorithm="HS512"), jwt.encode({}, "", "none")]
    for header in ({"crit": ["x"]}, {"typ": "JWE"}, {"typ": 5}, {"b64": False, "crit": ["b64"]}):
        bad.append(signed(header=header))
    bad += [good[:at] for at in range(1, len(good), 3)]
    bad += [good[:at] + ("A" if good[at] != "A" else "B") + good[at + 1 :] for at in range(0, len(good), 2)]
    bad += ["lcs_", "lcs_.", "lcs_a.b", "lcs_" + "A" * 5_000 + ".AA", "a.b.c", "a.b.c.d.e", "..", "null", "%00", "{}"]
    yield from _of("token", "invalid_token", [post(b'{"message":"hi"}', token) for token in bad])
    headers = [b"Authorization: " + text for text in (b"Bearer", b"Bearer ", b"Basic eA==", b"bearer  x", b"Bearer\tx")]
    raws = [request("POST", "/comments/v", b"{}", header, _JSON) for header in headers]
    yield from _of("scheme", "invalid_token missing_token", raws)


def bodies(good: str) -> Iterator[Case]:
    """Every JSON value in the place of each member, and texts that are no JSON."""
    values = [
        "1",
        "-1",
        "1.5",
        "true",
        "false",
        "[]",
        "{}",
        "[1]",
        '{"a":1}',
        '[""]',
        "1e400",
        "-0.0",
        "99999999999999",
    ]
    wrong = [b'{"message":%s}' % value.encode() for value in [*values, "null"]]
    others = [each for each in values if each not in ("1", "99999999999999", "-0.0")] + ['"5"', '""', "9" * 30]
    wrong += [b'{"message":"hi","videoTimeMs":%s}' % value.encode() for value in others]
    wrong += [value.encode() for value in [*values, "null", '"x"', "", " ", "nul", "NaN", "Infinity", "'a'", "{,}"]]
    whole = json.dumps({"message": "hello", "videoTimeMs": 5}).encode()
    wrong += [whole[:at] for at in range(len(whole))]
    wrong += [b"\xef\xbb" + whole, whole.decode().encode("utf-16"), whole.decode().encode("utf-32"), whole + b"x"]
    wrong += [b'{"message":"' + bytes([byte]) + b'"}' for byte in (*range(0x20), *range(0x80, 0x100), 0x22, 0x5C)]
    wrong += [b"[" * depth for depth in (1, 100, 1_025, 8_000)] + [b'{"a":' * 1_500]
    yield from _of("body", "invalid_json", [post(body, good) for body in wrong])
    too_large = [b'{"message":"%s"}' % (b"a" * size) for size in (8_180, 8_192, 9_000)]
    yield from _of("large", "body_too_large message_too_long", [post(body, good) for body in too_large])
    types = ["text/plain", "application/jsonx", "multipart/form-data", "", "application/xml;application/json", "json"]
    token = b"Authorization: Bearer " + good.encode()
    raws = [request("POST", "/comments/v", b"{}", token, b"Content-Type: " + each.encode()) for each in types]
    yield from _of("type", "unsupported_media_type", raws)
    keys = ["", " ", "a b", "k" * 129, "é", "\t", "a\tb", "\x7f"]
    raws = [post(b'{"message":"hi"}', good, b"Idempotency-Key: " + key.encode()) for key in keys]
    yield from _of("key", "invalid_idempotency_key invalid_request", raws)


def texts(good: str) -> Iterator[Case]:
    """Messages with nothing to see, or more than may be."""
    unseen = [
        *range(0x20),
        0x7F,
        *range(0x80, 0xA1),
        0xAD,
        0x61C,
        0x180E,
        *range(0x2000, 0x2010),
        *range(0x2028, 0x2030),
    ]
    unseen += [*range(0x205F, 0x2070), 0x2800, 0x3000, 0x3164, 0xFEFF, 0xFFA0, *range(0xE0000, 0xE0080, 4), 0xE000]
    raws = [post(json.dumps({"message": chr(point) * 3}).encode(), good) for point in unseen]
    yield from _of("unseen", "message_empty text_not_unicode", raws)
    long = ["a" * 501, "é" * 501, "a" * 2_049, "\U0001f468\u200d\U0001f469" * 400, "ß" * 1_025, "e\u0301" * 501]
    raws = [post(json.dumps({"message": text}, ensure_ascii=False).encode(), good) for text in long]
    yield from _of("long", "message_too_long", raws)
    names = ["", " ", "n" * 41, "n" * 201, "\u200b", "\u202e", "\n", "\u3164"]
    raws = [request("POST", "/sessions", json.dumps({"displayName": name}).encode(), _JSON) for name in names]
    yield from _of("name", "invalid_display_name text_not_unicode", raws)


def paths() -> Iterator[Case]:
    """Ids that are none, in every call that takes one."""
    ids = [
        "%00",
        "%20",
        "a%2fb",
        "a%5cb",
        "%c3%a9",
        "%ff",
        "a%0d%0ab",
        "v" * 65,
        "v" * 5_000,
        "a:b",
        "a+b",
        "a%25",
        "a,b",
    ]
    ids += [f"a{mark}" for mark in "!$&'()*;=@"] + [
        f"a%{byte:02x}" for byte in (*range(0x21), 0x7F, *range(0x80, 0x90))
    ]
    ways = ["/comments/{}", "/comments/{}/stream", "/comments/{}/0000000000000000", "/videos/{}"]
    raws = [request("GET", way.format(each)) for way, each in product(ways, ids)]
    yield from _of("path", "invalid_video_id invalid_cursor not_found", raws)


def cursors() -> Iterator[Case]:
    """Cursors, sizes, orders and ids that are none, in every place that takes one."""
    bad = [
        "0",
        "0" * 15,
        "0" * 17,
        "V" * 16,
        "w" * 16,
        "v" * 16,
        "-" * 16,
        "0" * 15 + "%00",
        "%c2%a0" * 16,
        "null",
        "-1",
    ]
    bad += [str(2**63), str(2**64), "0x0", "%0d%0aid:1", "0" * 3_000, "000g00000000000 ".replace(" ", "%20")]
    ways = ["/comments/v?cursor={}", "/comments/v/{}", "/comments/v/stream?after={}"]
    yield from _of("cursor", "invalid_cursor", [request("GET", way.format(each)) for way, each in product(ways, bad)])
    sizes = [
        "",
        "0",
        "-1",
        "101",
        "1e2",
        "1.0",
        "+5",
        " 5".replace(" ", "%20"),
        "%D9%A3",
        "0x5",
        "9" * 400,
        "NaN",
        "true",
    ]
    yield from _of("size", "invalid_page_size", [request("GET", f"/comments/v?pageSize={each}") for each in sizes])
    orders = ["", "ASC", "newest", "asc%20", "asc,desc", "0"]
    yield from _of("sort", "invalid_sort", [request("GET", f"/comments/v?sort={each}") for each in orders])


def framing() -> Iterator[Case]:
    """Requests that servers read differently from each other, and what is no request."""
    post_line, host = b"POST /comments/v HTTP/1.1\r\nHost: h\r\nConnection: close\r\n", b"Host: h\r\n"
    raws = [
        post_line + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        post_line + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        post_line + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        *(
            post_line + b"Content-Length: " + each + b"\r\n\r\n"
            for each in (b"-1", b"+1", b"0x1", b"1,1", b"1 1", b"a")
        ),
        *(post_line + b"Transfer-Encoding: " + each + b"\r\n\r\n0\r\n\r\n" for each in (b"x", b"chunked, x", b"gzip")),
        post_line + b"Transfer-Encoding: chunked\r\n\r\nz\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + host + b"\r\n",
        b"GET / HTTX/1.1\r\n" + host + b"\r\n",
        b"G\x00T / HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nA\x00b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n",
        b"GET\r\n\r\n",
        b"\r\n\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        *(bytes([byte]) * 8 + b"\r\n\r\n" for byte in range(0, 256, 5)),
    ]
    codes = "invalid_request not_implemented version_not_supported closed"
    yield from _of("framing", codes, raws)
    heads = [b"X: " + b"a" * 17_000, b"\r\n".join([b"X: y"] * 120), b"Cookie: " + b"c=d; " * 4_000]
    yield from _of("head", "head_too_large", [request("GET", "/comments/v", None, head) for head in heads])


def calls() -> Iterator[Case]:
    """Methods that a path does not have, and paths that are not there."""
    here = ("/comments/v", "/comments/v/0000000000000000", "/sessions", "/videos/v", "/openapi.json", "/docs", "/")
    never = ("PATCH", "TRACE", "MKCOL", "PROPFIND", "LINK", "REPORT", "SEARCH")
    yield from _of("method", "method_not_allowed", [request(method, path) for method, path in product(never, here)])
    gone = [
        "/x",
        "/comments",
        "/comments/",
        "/metrics/x",
        "/page/../app.py",
        "/page/x",
        "/.git/config",
        "/videos",
        "//",
        "/%2e",
    ]
    yield from _of("gone", "not_found method_not_allowed", [request("GET", path) for path in gone])


def all_cases(session: str) -> list[Case]:
    """The whole corpus; `session` is a good session token."""
    makers = (tokens(session), bodies(session), texts(session), paths(), cursors(), framing(), calls())
    return [case for made in makers for case in made]
