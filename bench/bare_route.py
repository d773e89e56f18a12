"""The least a Python server does for a POST: a Starlette route that only parses the JSON, and answers 201."""

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def post_comment(request: Request) -> Response:
    """Parse the body, and answer with its message."""
    said = orjson.loads(await request.body())
    return Response(orjson.dumps({"message": said["message"]}), 201, media_type="application/json")


app = Starlette(routes=[Route("/comments/{video_id}", post_comment, methods=["POST"])])
