"""What a request's head says: its line and its fields, and where its message ends. Pure.

Strict where RFC 9112 lets a server choose: what two readers could read differently is refused, so that nobody before us
can have understood another message than we do. No field but `Transfer-Encoding` and `Content-Length` ever changes where
a message ends; an offered `Upgrade` is not taken, so it is a field like any other (RFC 9110, 7.8).
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

from livecomments_schemas.errors import Rejected

CHUNKED: Final = -1
"""In place of a body's length: it ends where its chunks say."""

_METHOD_CHARS_MAX: Final = 32
"""Twice the longest one that is registered. A longer one is no method of ours (RFC 9112, 3)."""
_LENGTH_DIGITS_MAX: Final = 18
"""Of a Content-Length, within 64 bits: whoever counts more than that cannot mean it."""
_TOKEN: Final = rb"!#$%&'*+.^_`|~0-9A-Za-z-"
_LINE: Final = re.compile(rb"([" + _TOKEN + rb"]{1,%d}) (/[!\"$-~]*) HTTP/1\.([0-9])" % _METHOD_CHARS_MAX)
_OTHER_LINE: Final = re.compile(rb"([" + _TOKEN + rb"]+) ([!\"$-~]+) HTTP/([0-9])\.([0-9])")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?]+)(/[^?]*)?(\?.*)?", re.IGNORECASE)
_NAME: Final = re.compile(rb"[" + _TOKEN + rb"]+")
_IN_VALUES: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""What a line may hold (RFC 9110, 5.5): anything else is a control character, or half a line break."""
_HOST: Final = re.compile(
    rb"(?:\[(?:[0-9A-Fa-f:.]{2,45}|v[0-9A-Fa-f]+\.[A-Za-z0-9._~!$&'()*+,;=:-]+)\]"
    rb"|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
_BAD_ESCAPE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH: Final = re.compile(rb"%(?=2[Ff])")
"""Part of a name, and no end of one (RFC 3986, 2.2): whoever stands before us routes by it as it came."""
_KNOWN: Final = {
    name.encode(): name.lower().encode()
    for known in (
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Authorization",
        "Cache-Control",
        "Connection",
        "Cookie",
        "Content-Length",
        "Content-Type",
        "Host",
        "Idempotency-Key",
        "Last-Event-ID",
        "Origin",
        "Referer",
        "Sec-Fetch-Dest",
        "Sec-Fetch-Mode",
        "Sec-Fetch-Site",
        "Traceparent",
        "Transfer-Encoding",
        "User-Agent",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
    )
    for name in (known, known.lower())
}
"""Names as almost everybody writes them, and in lower case. Others cost a little more."""
_FRAMING: Final = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"))
_ONCE: Final = frozenset(
    (b"authorization", b"content-type", b"content-encoding", b"idempotency-key", b"idempotency-after", b"origin")
)
"""Of two, one reader takes the first and another the last (RFC 9110, 5.3): who speaks, and what it is that they say."""
_NOTED: Final = _FRAMING | _ONCE

Field = tuple[bytes, bytes]


class RequestRejected(Rejected):
    """Not HTTP/1.1, or not plainly so."""

    code = "invalid_request"


class HeadTooLargeRejected(Rejected):
    """More header fields, or longer ones, than are taken."""

    code = "head_too_large"


class TargetTooLongRejected(Rejected):
    """A request line beyond the bound of a whole head."""

    code = "target_too_long"


class LengthRejected(Rejected):
    """A body of more bytes than there are numbers for."""

    code = "body_too_large"


class NotImplementedRejected(Rejected):
    """A transfer coding or a method that no server of ours has."""

    code = "not_implemented"


class VersionRejected(Rejected):
    """Another major version of HTTP."""

    code = "version_not_supported"


class RequestHead(NamedTuple):
    """A head that is right. Field names are in lower case; values have no white space around them."""

    method: str
    path: str
    """Unescaped but for slashes, with U+FFFD where that is no UTF-8; "*" where the whole server is meant."""
    raw_path: bytes
    query: bytes
    minor: int
    """Of HTTP/1: 0, or 1 for everything above (RFC 9110, 2.5)."""
    fields: list[Field]
    length: int
    """Of the body, in bytes, or `CHUNKED`."""
    keeps_alive: bool
    """Whether the client wants the connection kept."""
    expects_continue: bool
    """Whether it may hold its body back until it is told to go on."""

    def value(self, name: bytes) -> bytes | None:
        """Return the first field of this lower-case name."""
        return next((value for one, value in self.fields if one == name), None)


def parse_head(head: bytes) -> RequestHead:
    """Parse the head that these bytes, up to and with the blank line, are.

    Raises:
        RequestRejected, TargetTooLongRejected, LengthRejected, NotImplementedRejected, VersionRejected
    """
    line, *lines = head[:-4].split(b"\r\n")
    method, target, minor = _parse_line(line)
    fields, said = _parse_fields(lines)
    hosts = said.get(b"host", ())
    if len(hosts) > 1 or (minor and not hosts) or (hosts and not _HOST.fullmatch(hosts[0])):
        raise RequestRejected("Send one Host, which is a name or an address, with a port or without.")
    if target[0] != 0x2F:
        target = _origin_form(method, target, fields)
    raw_path, _, query = target.partition(b"?")
    length = _length(said.get(b"transfer-encoding"), said.get(b"content-length"), minor)
    options = _options(said.get(b"connection", ())) if b"connection" in said else ()
    return RequestHead(
        method.decode("ascii"),
        _unescaped(raw_path) if b"%" in raw_path else raw_path.decode("ascii"),
        raw_path,
        query,
        minor,
        fields,
        length,
        b"close" not in options and (minor > 0 or b"keep-alive" in options),
        bool(length and minor and b"expect" in said and said[b"expect"][0].lower() == b"100-continue"),
    )


def check_beginning(beginning: bytes) -> None:
    """Refuse what cannot become a head any more, so that whoever speaks another protocol need not wait to hear it.

    Raises:
        RequestRejected, NotImplementedRejected, VersionRejected
    """
    breaks = beginning.count(b"\r\n")
    lone = beginning.count(b"\n") > breaks or beginning.count(b"\r", 0, -1) > breaks
    method = _NAME.match(beginning)
    if lone or method is None:
        raise RequestRejected("Send HTTP/1.1, and end each line by CR and LF.")
    if method.end() > _METHOD_CHARS_MAX:
        raise NotImplementedRejected("See /openapi.json for what can be called here.")
    if breaks:
        _parse_line(beginning[: beginning.index(b"\r\n")])


def parse_fields(lines: Iterable[bytes]) -> list[Field]:
    """Parse the fields of these lines. Raises RequestRejected."""
    return _parse_fields(lines)[0]


def _parse_line(line: bytes) -> tuple[bytes, bytes, int]:
    plain = _LINE.fullmatch(line)
    if plain is not None and plain[1] != b"CONNECT":
        return plain[1], plain[2], int(plain[3] != b"0")
    other = _OTHER_LINE.fullmatch(line)
    if other is None:
        raise RequestRejected("Send a request line of a method, a target and HTTP/1.1, one space between them.")
    method, target, major, minor = other.groups()
    if major != b"1":
        raise VersionRejected("Speak HTTP/1.1.")
    if len(method) > _METHOD_CHARS_MAX or method == b"CONNECT":
        raise NotImplementedRejected("See /openapi.json for what can be called here.")
    return method, target, int(minor != b"0")


def _parse_fields(lines: Iterable[bytes]) -> tuple[list[Field], dict[bytes, list[bytes]]]:
    """Parse these lines; return the fields, and by name those of which it matters here what they say, or how often."""
    fields: list[Field] = []
    said: dict[bytes, list[bytes]] = {}
    for line in lines:
        written, colon, value = line.partition(b":")
        name = _KNOWN.get(written)
        if name is None:
            if not colon or not _NAME.fullmatch(written):
                raise RequestRejected("Send each field on a line of its own, its name right before the colon.")
            name = written.lower()
        if value.translate(None, _IN_VALUES):
            raise RequestRejected("Send fields without control characters, and end each line by CR and LF.")
        value = value.strip(b" \t")
        fields.append((name, value))
        if name in _NOTED:
            if name not in said:
                said[name] = [value]
            elif name in _ONCE:
                raise RequestRejected("Send fields once that have one value: Authorization, Content-Type and the like.")
            else:
                said[name].append(value)
    return fields, said


def _origin_form(method: bytes, target: bytes, fields: list[Field]) -> bytes:
    """Path and query of another form of a target; its host goes before the field's (RFC 9112, 3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _HOST.fullmatch(absolute[1]) or absolute[1].startswith(b":"):
        raise RequestRejected("Send the path of what you ask for, or its whole address.")
    fields[:] = [(name, absolute[1] if name == b"host" else value) for name, value in fields]
    return (absolute[2] or b"/") + (absolute[3] or b"")


def _length(codings: list[bytes] | None, lengths: list[bytes] | None, minor: int) -> int:
    """Read how long the body is. Source: RFC 9112, 6.1 to 6.3; what it lets a server repair is refused."""
    if codings is not None:
        names = [name.strip(b" \t").lower() for value in codings for name in value.split(b",")]
        if lengths is not None or not minor or names[-1] != b"chunked" or b"chunked" in names[:-1]:
            raise RequestRejected("Frame the body by Content-Length or by Transfer-Encoding: chunked, once.")
        if len(names) > 1:
            raise NotImplementedRejected("Send the body in no other transfer coding than chunked.")
        return CHUNKED
    if lengths is None:
        return 0
    if len(lengths) > 1 or not lengths[0].isdigit():
        raise RequestRejected("Send one Content-Length, in digits.")
    digits = lengths[0].lstrip(b"0")
    if len(digits) > _LENGTH_DIGITS_MAX:
        raise LengthRejected("Send a body within the bounds of what you call.")
    return int(digits or b"0")


def _options(values: Iterable[bytes]) -> list[bytes]:
    return [option.strip(b" \t").lower() for value in values for option in value.split(b",")]


def _unescaped(raw_path: bytes) -> str:
    if _BAD_ESCAPE.search(raw_path):
        raise RequestRejected("Escape each byte of the path as % and two hexadecimal digits.")
    return unquote_to_bytes(_ESCAPED_SLASH.sub(b"%25", raw_path)).decode("utf-8", "replace")
