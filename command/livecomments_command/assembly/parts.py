"""Pieces of the service made from settings, the same in every form of it."""

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from livecomments.following.follower import Follower
from livecomments.following.read_back import Judge
from livecomments.following.tail import Tail, TailBounds
from livecomments.history.reading import History
from livecomments.log.interface import CommentLog
from livecomments.log.revocations import Revocations
from livecomments.runtime.settings import Settings, share_of
from livecomments.web.cors import NO_CORS, CorsAnswers, CorsRules, origins_of
from livecomments.web.problems import HANDLERS
from livecomments_consumers.hub import HubSettings
from livecomments_consumers.viewer import Viewer
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.identity import JwtRules, SessionRules, Tokens
from livecomments_gateway.jwks import JwksKeys
from livecomments_gateway.keys import SharedSecret
from livecomments_gateway.posting import Posting
from livecomments_gateway.review import Review, WordList
from livecomments_schemas.judge import judge

_KEPT_SECRET: Final = "session-secret"  # noqa: S105 - a file name
_SECRET_BYTES: Final = 32


@dataclass(frozen=True)
class Seams:
    """What a test may replace to see that a checker notices."""

    judge: Judge = judge
    tail: Callable[[TailBounds, int], Tail] = Tail
    viewer: Callable[[int, float, float], Viewer] = Viewer


def make_follower(log: CommentLog, settings: Settings, seams: Seams, assigned: str | None = None) -> Follower:
    """A follower of the partitions that the settings, or `assigned`, name."""
    return Follower(
        log,
        share_of(assigned or settings.follow, log.partition_count),
        TailBounds(settings.tail_records_max, settings.tail_bytes_max, settings.tail_age_max_s),
        idle_s=settings.partition_idle_s,
        judge=seams.judge,
        tail=seams.tail,
    )


def hub_settings(settings: Settings) -> HubSettings:
    """The hub's part of the settings."""
    return HubSettings(
        heartbeat_interval_s=settings.heartbeat_interval_s,
        stale_after_s=settings.stale_after_s,
        window_min_s=settings.window_min_ms / 1000,
        window_max_s=settings.window_max_ms / 1000,
        viewer_stuck_s=settings.viewer_stuck_s,
        viewer_life_s=settings.viewer_life_s,
        viewers_max=settings.viewers_max,
        viewers_per_address_max=settings.viewers_per_address_max,
    )


def cors_rules(settings: Settings) -> CorsRules:
    """Which other sites' pages may call."""
    return CorsRules(origins_of(settings.cors_origins))


def make_posting(history: History, settings: Settings) -> Posting:
    """The writes of this gateway."""
    return Posting(
        history,
        timeout_s=settings.append_timeout_s,
        in_flight_max=settings.appends_in_flight_max,
        limits=AdmissionLimits(settings.user_comments_max, settings.user_window_s, settings.duplicate_text_s),
        review=Review([WordList.of_file(Path(settings.word_list))] if settings.word_list else ()),
        only_registered=settings.unknown_videos == "registered",
    )


def make_jwks(settings: Settings) -> JwksKeys | None:
    """The issuer's keys, if they are published somewhere; its `run` is for the caller."""
    return JwksKeys(settings.jwt_jwks_url) if settings.jwt_jwks_url else None


def make_tokens(settings: Settings, revocations: Revocations, jwks: JwksKeys | None) -> Tokens:
    """The tokens this process accepts and makes. Those that serve one site must sign alike."""
    keys = jwks or (SharedSecret(settings.jwt_secret) if settings.jwt_secret else None)
    rules = JwtRules(keys, settings.jwt_issuer, settings.jwt_audience) if keys else None
    secret = settings.session_secret.encode() or kept_secret(settings.data_dir)
    sessions = SessionRules(secret, settings.session_ttl_s, settings.session_idle_s, settings.guests)
    return Tokens(sessions, revocations, jwt_rules=rules)


def kept_secret(directory: Path) -> bytes:
    """The session secret of a data directory, made once, readable by its owner only."""
    path = directory / _KEPT_SECRET
    if not path.exists():
        making = path.with_suffix(".new")
        making.unlink(missing_ok=True)
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        making.rename(path)
    return path.read_bytes()


class ClosingAnswers:
    """An application whose answers end their connection.

    For the separate edge: a proxy then brings each stream on a fresh connection, which passes the door.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, send_closing)


def make_app(routes: Sequence[BaseRoute], cors: CorsRules = NO_CORS) -> ASGIApp:
    """An application of these routes that answers errors as problems, to the pages of allowed origins too."""
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    return CorsAnswers(app, cors) if cors.is_open else app
