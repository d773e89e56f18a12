"""The application: routes, and a problem for every error (RFC 9457).

Starlette's own class does the same in two layers, each of which gives every request a `send` of its own.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute, Router
from starlette.types import Receive, Scope, Send

from livecomments.web.problems import answer_error


class Application:
    """Serves these routes, tried in their order."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        # Slashes are not corrected: that would send people to whatever host they named, without TLS.
        self._route = Router(routes, redirect_slashes=False).app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; raises only where an answer has begun already, which is then broken off."""
        scope["app"] = self  # so that the router raises what it refuses
        try:
            await self._route(scope, receive, send)
        except Exception as error:
            answer = answer_error(Request(scope), error)
            await answer(scope, receive, send)
