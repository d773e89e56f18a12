"""A gateway's write path, made from settings: the posting of comments, and who may speak."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from livecomments.following.follower import Follower
from livecomments.history.reading import History
from livecomments.log.epochs import Permission
from livecomments.log.revocations import Revocations
from livecomments.runtime.rotation import FromFiles, Rotated
from livecomments.runtime.values import as_it_is_now, file_of
from livecomments_command.settings import KEPT_SECRET
from livecomments_gateway.admission import AdmissionLimits
from livecomments_gateway.identity import SessionRules, Tokens
from livecomments_gateway.jwks import JwksKeys
from livecomments_gateway.jwts import JwtRules
from livecomments_gateway.keys import SharedSecrets, VerifyingKey, shared_keys
from livecomments_gateway.posting import ALWAYS_ALLOWED, Posting
from livecomments_gateway.settings import WriteSettings, secrets_in
from livecomments_gateway.word_list import NO_WORDS, WordList
from livecomments_schemas.errors import StartRefused

_SECRET_BYTES: Final = 32


def make_posting(
    follower: Follower, history: History, settings: WriteSettings, permission: Permission = ALWAYS_ALLOWED
) -> Posting:
    """Make the posting of comments and deletes, with the limits and rules of the settings."""
    return Posting(
        follower,
        history,
        timeout_s=settings.append_timeout_s,
        in_flight_max=settings.appends_in_flight_max,
        limits=AdmissionLimits(settings.user_comments_max, settings.user_period_s, settings.duplicate_text_s),
        words=WordList.of_file(Path(settings.word_list)) if settings.word_list else NO_WORDS,
        only_registered=settings.unknown_videos == "registered",
        permission=permission,
    )


def make_jwks(settings: WriteSettings) -> JwksKeys | None:
    """Make the key set of the JWKS URL, None without a URL; the caller must run its `run`."""
    return JwksKeys(settings.jwt_jwks_url) if settings.jwt_jwks_url else None


class TokenSecrets(NamedTuple):
    """The secrets of tokens as they are now; `jwt` is None without any."""

    session: Rotated[Sequence[bytes]]
    jwt: Rotated[tuple[VerifyingKey, ...]] | None


def token_secrets(settings: WriteSettings) -> TokenSecrets:
    """Return the configured secrets. Raises StartRefused: one is a key of another kind, or a file changed badly."""

    def session() -> Sequence[bytes]:
        return [secret.encode() for secret in secrets_in(as_it_is_now(settings.session_secret))]

    def jwt() -> tuple[VerifyingKey, ...]:
        return shared_keys(as_it_is_now(settings.jwt_secret))

    try:
        return TokenSecrets(
            FromFiles("session_secret", [file_of(settings.session_secret)], session)
            if settings.session_secret
            else Rotated([kept_secret(settings.data_dir)]),
            FromFiles("jwt_secret", [file_of(settings.jwt_secret)], jwt) if settings.jwt_secret else None,
        )
    except ValueError as error:
        raise StartRefused(f"A file of secrets {error}.") from error


def make_tokens(
    settings: WriteSettings, secrets_: TokenSecrets, revocations: Revocations, jwks: JwksKeys | None
) -> Tokens:
    """Make what checks and signs tokens. All processes of a site must have the same session secrets."""
    keys = jwks or (SharedSecrets(secrets_.jwt) if secrets_.jwt else None)
    rules = JwtRules(keys, settings.jwt_issuer, settings.jwt_audience) if keys else None
    sessions = SessionRules(secrets_.session, settings.session_ttl_s, settings.session_idle_s, settings.guests)
    return Tokens(sessions, revocations, jwt_rules=rules)


def kept_secret(directory: Path) -> bytes:
    """Return the session secret of a data directory; make it first if it is missing, readable by its owner only."""
    path = directory / KEPT_SECRET
    if not path.exists():
        making = path.with_suffix(".new")
        making.unlink(missing_ok=True)
        with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
        making.rename(path)
    return path.read_bytes()
