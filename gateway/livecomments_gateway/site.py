"""The page and its files; `clients/js` in one file; the interface for programs and for people who write them."""

from pathlib import Path
from typing import Final

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from livecomments_gateway.calls import CALLS
from livecomments_gateway.openapi import docs_page, openapi

_PAGE: Final = Path(__file__).parent / "page"
_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def page_routes() -> list[Route]:
    """Make the routes of the page, its files, and the descriptions."""
    files = {path.name: path for path in _PAGE.iterdir() if path.suffix in (".html", ".js", ".css")}
    headers = {
        "Content-Security-Policy": _PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }

    async def read_index(_: Request) -> Response:
        return FileResponse(files["index.html"], headers=headers)

    async def read_client(_: Request) -> Response:
        return FileResponse(files["client.js"], headers=headers)

    async def read_file(request: Request) -> Response:
        path = files.get(request.path_params["name"])
        if path is None:
            raise HTTPException(404)
        return FileResponse(path, headers=headers)

    document = openapi(CALLS)
    described = orjson.dumps(document)
    docs, docs_headers = docs_page(document)

    async def read_openapi(_: Request) -> Response:
        return Response(described, headers={"Cache-Control": "no-cache"}, media_type="application/json")

    async def read_docs(_: Request) -> Response:
        return Response(docs, headers=docs_headers, media_type="text/html")

    return [
        Route("/", read_index, methods=["GET"]),
        Route("/client.js", read_client, methods=["GET"]),
        Route("/page/{name}", read_file, methods=["GET"]),
        Route("/openapi.json", read_openapi, methods=["GET"]),
        Route("/docs", read_docs, methods=["GET"]),
    ]
