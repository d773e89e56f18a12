"""Answers that are the same for everybody until the next release: read and compressed once, at the start."""

import gzip
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
