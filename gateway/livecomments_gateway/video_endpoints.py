"""The endpoints of `/videos`: what owners and moderators say."""

from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.requests import Request
from starlette.responses import Response

from livecomments_gateway.answers import Endpoint, JsonAnswer, video_id_of
from livecomments_gateway.calls import BAN, GET_VIDEO, PIN, PUT_VIDEO, UNBAN, UNPIN, Call
from livecomments_gateway.facts import VideoSettings
from livecomments_gateway.identity import Identity, Tokens
from livecomments_gateway.owning import Owning, UserIdRejected
from livecomments_gateway.queries import parameters_of
from livecomments_gateway.requests import (
    DELETE_LAST_S,
    MAX_COMMENTS_PER_S,
    SLOW_MODE_S,
    STATE,
    TITLE,
    WHO_MAY_COMMENT,
    headers_of,
    json_body,
)

_BEFORE_USER_ID: Final = BAN.path.count("/")


def video_endpoints(owning: Owning, tokens: Tokens) -> dict[Call, Endpoint]:
    """Make an endpoint for each call about videos."""

    def asked(request: Request) -> tuple[str, Identity]:
        return video_id_of(request), tokens.identify(headers_of(request).get("authorization"))

    async def put_video(request: Request) -> Response:
        video_id, identity = asked(request)
        body = await json_body(request, headers_of(request))
        default = VideoSettings()
        settings = VideoSettings(
            TITLE.of(body) or default.title,
            WHO_MAY_COMMENT.of(body) or default.who_may_comment,
            SLOW_MODE_S.of(body) or default.slow_mode_s,
            MAX_COMMENTS_PER_S.of(body) or default.max_comments_per_s,
        )
        facts = await owning.put(video_id, settings, STATE.of(body), identity)
        return JsonAnswer(facts.said(video_id))

    async def read_video(request: Request) -> Response:
        video_id = video_id_of(request)
        facts = await owning.read(video_id)
        return JsonAnswer(facts.said(video_id))

    async def ban(request: Request) -> Response:
        video_id, identity = asked(request)
        delete_last_s = DELETE_LAST_S.of(parameters_of(request, DELETE_LAST_S), 0)
        await owning.ban(video_id, _user_id(request), identity, delete_last_s)
        return Response(status_code=204)

    async def unban(request: Request) -> Response:
        video_id, identity = asked(request)
        await owning.unban(video_id, _user_id(request), identity)
        return Response(status_code=204)

    async def pin(request: Request) -> Response:
        video_id, identity = asked(request)
        await owning.pin(video_id, request.path_params["comment_id"], identity)
        return Response(status_code=204)

    async def unpin(request: Request) -> Response:
        video_id, identity = asked(request)
        await owning.unpin(video_id, identity)
        return Response(status_code=204)

    return {PUT_VIDEO: put_video, GET_VIDEO: read_video, BAN: ban, UNBAN: unban, PIN: pin, UNPIN: unpin}


def _user_id(request: Request) -> str:
    """Return the user id, which is the rest of the path as it was sent, slashes included, escaped or not."""
    escaped = request.scope["raw_path"].split(b"/", _BEFORE_USER_ID)[_BEFORE_USER_ID]
    try:
        return unquote_to_bytes(escaped).decode()
    except UnicodeDecodeError as error:
        raise UserIdRejected("A user id is UTF-8, percent-encoded in the path.") from error
