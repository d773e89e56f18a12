"""The endpoint of a video's counts: comments and writers a minute, for a sparkline."""

from typing import Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from livecomments.log.counts import CountsNotKeptRejected, RecentCounts
from livecomments_gateway.answers import Endpoint, video_id_of
from livecomments_gateway.calls import READ_COUNTS, Call
from livecomments_schemas.counts import minute_text

_FRESH_S: Final = 5
"""As often as counts are told anew: an answer may be kept so long, by browsers and shared caches."""
_HEADERS: Final = {"Cache-Control": f"public, max-age={_FRESH_S}", "X-Content-Type-Options": "nosniff"}


def count_endpoints(counts: RecentCounts | None) -> dict[Call, Endpoint]:
    """Make the endpoint; without `counts` it says that nobody counts here."""

    async def read_counts(request: Request) -> Response:
        if counts is None:
            raise CountsNotKeptRejected("Comments are not counted here: LIVECOMMENTS_COUNTS is not set.")
        video_id = video_id_of(request)
        minutes = [
            {"minute": minute_text(one.minute), "comments": one.comments, "writers": one.writers}
            for one in counts.of(video_id)
        ]
        said = {"videoId": video_id, "since": minute_text(counts.since()), "minutes": minutes}
        return Response(orjson.dumps(said), 200, _HEADERS, "application/json")

    return {READ_COUNTS: read_counts}
