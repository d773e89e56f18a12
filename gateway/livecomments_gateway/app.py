"""The gateway's routes, made of its parts."""

from starlette.routing import Route

from livecomments.following.follower import Follower
from livecomments.history.reading import History
from livecomments.log.counts import RecentCounts
from livecomments.runtime.tracing import Tracing
from livecomments_gateway.comment_endpoints import comment_endpoints
from livecomments_gateway.count_endpoints import count_endpoints
from livecomments_gateway.identity import Tokens
from livecomments_gateway.owning import Owning
from livecomments_gateway.posting import Posting
from livecomments_gateway.report_endpoints import report_endpoints
from livecomments_gateway.reports import Reports
from livecomments_gateway.routing import call_routes
from livecomments_gateway.session_endpoints import session_endpoints
from livecomments_gateway.video_endpoints import video_endpoints


def gateway_routes(
    follower: Follower,
    history: History,
    posting: Posting,
    tokens: Tokens,
    tracing: Tracing | None = None,
    counts: RecentCounts | None = None,
) -> list[Route]:
    """Make all routes of a gateway from these parts; the site's (`site`) are apart."""
    return call_routes(
        comment_endpoints(history, posting, tokens, tracing)
        | session_endpoints(tokens)
        | video_endpoints(Owning(history, posting), tokens)
        | count_endpoints(counts)
        | report_endpoints(Reports(history, posting), tokens),
        follower,
    )
