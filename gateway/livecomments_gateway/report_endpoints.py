"""The endpoints of `/videos/{videoId}/reports`: said by viewers, read and dismissed by moderators."""

from starlette.requests import Request
from starlette.responses import Response

from livecomments_gateway.answers import Endpoint, JsonAnswer, video_id_of
from livecomments_gateway.calls import DISMISS_REPORTS, READ_REPORTS, REPORT, Call
from livecomments_gateway.identity import Tokens
from livecomments_gateway.queries import parameters_of
from livecomments_gateway.reports import Reports
from livecomments_gateway.requests import CURSOR, PAGE_SIZE, REASON, headers_of, json_body
from livecomments_schemas.limits import PAGE_SIZE_DEFAULT


def report_endpoints(reports: Reports, tokens: Tokens) -> dict[Call, Endpoint]:
    """Make an endpoint for each call about reports."""

    async def report(request: Request) -> Response:
        headers = headers_of(request)
        identity = tokens.identify(headers.get("authorization"))
        reason = REASON.required_of(await json_body(request, headers))
        await reports.report(video_id_of(request), request.path_params["comment_id"], reason, identity)
        return Response(status_code=204)

    async def read_reports(request: Request) -> Response:
        identity = tokens.identify(headers_of(request).get("authorization"))
        query = parameters_of(request, CURSOR, PAGE_SIZE)
        limit = PAGE_SIZE.of(query, PAGE_SIZE_DEFAULT)
        page = await reports.read_page(video_id_of(request), CURSOR.of(query), limit, identity)
        return JsonAnswer(page.rendered())

    async def dismiss(request: Request) -> Response:
        identity = tokens.identify(headers_of(request).get("authorization"))
        await reports.dismiss(video_id_of(request), request.path_params["comment_id"], identity)
        return Response(status_code=204)

    return {REPORT: report, READ_REPORTS: read_reports, DISMISS_REPORTS: dismiss}
