"""Answers that are the same for everybody until the next release: read and, where it helps, compressed at the start."""

import gzip
import re
from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from livecomments.web.encodings import accepts_gzip
from livecomments_gateway.etags import is_unchanged, validator
from livecomments_gateway.requests import listed

_GZIP_LEVEL: Final = 9
"""Once, so as small as it gets."""


class StaticAnswer:
    """One body, plain and in gzip, each with an `ETag` of its own (RFC 9110, 8.8.3.3)."""

    def __init__(self, body: bytes, media_type: str, headers: Mapping[str, str]) -> None:
        self._media_type = media_type
        compressed = gzip.compress(body, _GZIP_LEVEL, mtime=0)  # the same bytes, so the same name, in every process
        always = {**headers, "Vary": "Accept-Encoding"}
        self._plain = (body, {**always, "ETag": validator(body)})
        self._gzip = (compressed, {**always, "ETag": validator(compressed), "Content-Encoding": "gzip"})

    def to(self, request: Request) -> Response:
        """Answer a request: in gzip if it accepts that, and 304 without a body if it names this `ETag`."""
        body, headers = self._gzip if accepts_gzip(listed(request, "accept-encoding") or "") else self._plain
        if is_unchanged(listed(request, "if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(body, 200, headers, self._media_type)


_ONE_RANGE: Final = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})")


class MediaAnswer:
    """One body that players read in parts (RFC 9110, 14.2): Safari plays nothing that has none."""

    def __init__(self, body: bytes, media_type: str, headers: Mapping[str, str]) -> None:
        self._body = body
        self._media_type = media_type
        self._headers = {**headers, "ETag": validator(body), "Accept-Ranges": "bytes"}

    def to(self, request: Request) -> Response:
        """Answer with the range that is asked for, or with all of it; 304 if the request names this `ETag`."""
        tag, size = self._headers["ETag"], len(self._body)
        if is_unchanged(listed(request, "if-none-match"), tag):
            return Response(status_code=304, headers=self._headers)
        part = range(size)
        if listed(request, "if-range") in (None, tag):
            part = _part(listed(request, "range") or "", size)
        if not part:
            return Response(status_code=416, headers={**self._headers, "Content-Range": f"bytes */{size}"})
        if len(part) == size:
            return Response(self._body, 200, self._headers, self._media_type)
        said = {**self._headers, "Content-Range": f"bytes {part[0]}-{part[-1]}/{size}"}
        return Response(self._body[part[0] : part[-1] + 1], 206, said, self._media_type)


def _part(asked: str, size: int) -> range:
    """Return which bytes are asked for; empty: none that there are. What is not understood asks for all."""
    found = _ONE_RANGE.fullmatch(asked)
    if found is None or found.group() == "bytes=-":
        return range(size)
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size)
    if last and int(last) < int(first):
        return range(size)
    return range(int(first), min(int(last) + 1, size) if last else size)
