"""The endpoints of `/sessions`: opened, renewed or renamed, and ended."""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from livecomments_gateway.answers import Endpoint, JsonAnswer
from livecomments_gateway.calls import END_SESSION, OPEN_SESSION, RENEW_SESSION, Call
from livecomments_gateway.identity import OpenedSession, Tokens
from livecomments_gateway.requests import (
    DISPLAY_NAME,
    NEW_DISPLAY_NAME,
    headers_of,
    json_body,
    optional_json_body,
)
from livecomments_schemas.events import timestamp


def session_endpoints(tokens: Tokens) -> dict[Call, Endpoint]:
    """Make an endpoint for each call about sessions."""

    async def open_session(request: Request) -> Response:
        body = await json_body(request, headers_of(request))
        return _session(tokens.open_session(DISPLAY_NAME.required_of(body)))

    async def renew_session(request: Request) -> Response:
        headers = headers_of(request)
        identity = tokens.identify(headers.get("authorization"))
        body = await optional_json_body(request, headers)
        return _session(tokens.renew_session(identity, NEW_DISPLAY_NAME.of(body)))

    async def end_session(request: Request) -> Response:
        await tokens.end_session(tokens.identify(request.headers.get("authorization")))
        return Response(status_code=204)

    return {OPEN_SESSION: open_session, RENEW_SESSION: renew_session, END_SESSION: end_session}


def _session(session: OpenedSession) -> Response:
    said = {"sessionToken": session.token, "userId": session.author.id}
    return JsonAnswer(orjson.dumps(said | {"expiresAt": timestamp(session.expires_at * 1000)}), 201)
