"""Routes for operators: live (need not be restarted), ready (may get traffic), metrics; and for routers."""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from livecomments.runtime.metrics import CONTENT_TYPE_LATEST, exposition

_LIVE: Final = "/healthz/live"
_READY: Final = "/healthz/ready"
_METRICS: Final = "/metrics"
HEALTH_PATHS: Final = frozenset({_LIVE, _READY, _METRICS})
"""What is asked of a process that is full, too."""


def health_routes(checks: Callable[[], Mapping[str, bool]]) -> list[Route]:
    """Make `/healthz/live`, `/healthz/ready` and `/metrics`. Ready is when every check holds; each is named."""

    async def live(_: Request) -> Response:
        return Response(b"ok", media_type="text/plain")

    async def ready(_: Request) -> Response:
        held = dict(checks())
        return Response(orjson.dumps(held), 200 if all(held.values()) else 503, media_type="application/json")

    async def metrics(_: Request) -> Response:
        return Response(exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [
        Route(_LIVE, live, methods=["GET"]),
        Route(_READY, ready, methods=["GET"]),
        Route(_METRICS, metrics, methods=["GET"]),
    ]


class Counted(Protocol):
    """The log that is served now."""

    @property
    def epoch(self) -> int: ...

    @property
    def partition_count(self) -> int: ...


def routing_route(log: Callable[[], Counted]) -> Route:
    """Make `/internal/routing`: of which epoch a video's partition is counted, and how many there are.

    What infra/router/partition.lua needs to know a video's home; as JSON, for any router.
    """

    async def routing(_: Request) -> Response:
        told = {"epoch": log().epoch, "partitions": log().partition_count}
        return Response(orjson.dumps(told), media_type="application/json", headers={"Cache-Control": "no-store"})

    return Route("/internal/routing", routing, methods=["GET"])
