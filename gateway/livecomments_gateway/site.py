"""The page and its files; `clients/js` without a build step; the interface for programs and for who writes them."""

import re
from pathlib import Path
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livecomments_gateway.calls import CALLS
from livecomments_gateway.files import MediaAnswer, StaticAnswer
from livecomments_gateway.openapi import docs_page, openapi

_PAGE: Final = Path(__file__).parent / "page"
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "media-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_ALWAYS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
_TEXT_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}
_FOR_WRITERS: Final = re.compile(rb"\s*/\*.*?\*/|(?<=\n)\s+", re.DOTALL)
"""Of a stylesheet, what browsers pass over: an eighth of it, in gzip too. No string of ours holds a comment."""
_CLIP_TYPES: Final = {".webm": "video/webm", ".mp4": "video/mp4"}


def page_routes() -> list[Route]:
    """Make the routes of the page, its files, and the descriptions."""
    headers = {"Content-Security-Policy": _PAGE_POLICY, **_ALWAYS}
    files: dict[str, StaticAnswer | MediaAnswer] = {}
    for path in _PAGE.iterdir():
        if media_type := _TEXT_TYPES.get(path.suffix):
            body = path.read_bytes()
            files[path.name] = StaticAnswer(
                _FOR_WRITERS.sub(b"", body) if path.suffix == ".css" else body, media_type, headers
            )
        elif media_type := _CLIP_TYPES.get(path.suffix):
            files[path.name] = MediaAnswer(path.read_bytes(), media_type, _ALWAYS)

    async def read_index(request: Request) -> Response:
        return files["index.html"].to(request)

    async def read_client(request: Request) -> Response:
        return files[request.url.path.rpartition("/")[2]].to(request)

    async def read_file(request: Request) -> Response:
        file = files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(404)
        return file.to(request)

    document = openapi(CALLS)
    described = StaticAnswer(orjson.dumps(document), "application/json", _ALWAYS)
    page, page_headers = docs_page(document)
    docs = StaticAnswer(page, "text/html", {**page_headers, **_ALWAYS})

    async def read_openapi(request: Request) -> Response:
        return described.to(request)

    async def read_docs(request: Request) -> Response:
        return docs.to(request)

    return [
        Route("/", read_index, methods=["GET"]),
        *(Route(f"/{name}", read_client, methods=["GET"]) for name in ("client.js", "pieces.js")),
        Route("/page/{name}", read_file, methods=["GET"]),
        Route("/openapi.json", read_openapi, methods=["GET"]),
        Route("/docs", read_docs, methods=["GET"]),
    ]
