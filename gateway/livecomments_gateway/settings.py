"""What can be configured of a gateway: whose tokens are accepted, and what may be written how fast."""

import re
from dataclasses import dataclass
from typing import Final

from livecomments.runtime.settings import NOT_NEGATIVE, POSITIVE, Rule, ValueRange, setting
from livecomments.runtime.shared_settings import RecordSettings

SESSION_LIFE_MAX_S: Final = 31 * 86_400
"""Less than the retention of the topic session-revocations, or a revoked token would speak again."""
JWT_SECRET_BYTES_MIN: Final = 32
"""HS256 with a shorter key can be guessed offline (RFC 7518, 3.2). Our session tokens are signed the same way."""
SECRETS_MAX: Final = 8
"""Of each kind. Two are there while one takes the place of another; a token that nobody signed is tried with each."""
_JWKS_URL: Final = re.compile(r"https://[^\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/\S*)?")


@dataclass(frozen=True, kw_only=True)
class WriteSettings(RecordSettings):
    """The write path's part of the settings."""

    jwt_secret: str = setting(
        "", "HS256 keys of the JWTs to accept, one a line, at least 32 bytes. Empty: none.", secret=True
    )
    jwt_jwks_url: str = setting("", "Where the issuer publishes its keys (RS256, ES256, EdDSA); instead of a secret.")
    jwt_issuer: str = setting("", "Required `iss` of a JWT.")
    jwt_audience: str = setting("", "Required `aud` of a JWT.")
    session_secret: str = setting(
        "", "Signs session tokens: the first line; each is accepted. Empty: made in the data directory.", secret=True
    )
    session_ttl_s: int = setting(
        30 * 86_400, "Life of a session, renewals included, seconds.", ValueRange(above=0, at_most=SESSION_LIFE_MAX_S)
    )
    session_idle_s: int = setting(30 * 86_400, "Life of a session's token until it must be renewed, seconds.", POSITIVE)
    guests: bool = setting(True, "Whether anyone may open a session by giving a name.")

    unknown_videos: str = setting("open", "Comments under videos that nobody has set: open, or registered (refused).")
    user_comments_max: int = setting(
        0, "Comments of one person under one video within the next setting; 0: no limit.", NOT_NEGATIVE
    )
    user_period_s: float = setting(10.0, "Seconds that LIVECOMMENTS_USER_COMMENTS_MAX counts over.", POSITIVE)
    duplicate_text_s: float = setting(
        0.0, "One person may say the same again after so many seconds; 0: at once.", NOT_NEGATIVE
    )
    word_list: str = setting("", "File with a word or phrase a line; messages that hold one are refused.")
    appends_in_flight_max: int = setting(2_000, "Appends under way in one gateway; beyond it 503 overloaded.", POSITIVE)

    def rules(self) -> list[Rule]:
        """Require that keys are strong, and JWTs are of one issuer for one audience."""
        weak = f"must have at least {JWT_SECRET_BYTES_MIN} bytes a line, and at most {SECRETS_MAX} lines"
        return [
            *super().rules(),
            ("unknown_videos", self.unknown_videos in ("open", "registered"), "must be open or registered"),
            (
                "jwt_issuer",
                not (self.jwt_secret or self.jwt_jwks_url) or bool(self.jwt_issuer and self.jwt_audience),
                "and LIVECOMMENTS_JWT_AUDIENCE must be set when JWTs are accepted",
            ),
            (
                "jwt_jwks_url",
                not self.jwt_jwks_url or (not self.jwt_secret and bool(_JWKS_URL.fullmatch(self.jwt_jwks_url))),
                "must be an https address (http on this machine only), and not beside LIVECOMMENTS_JWT_SECRET",
            ),
            ("jwt_secret", _are_strong(self.jwt_secret), weak),
            ("session_secret", _are_strong(self.session_secret), weak),
        ]


def secrets_in(text: str) -> tuple[str, ...]:
    """Return the secrets of a setting, one a line, the one that signs first.

    Raises:
        ValueError: there is none, there are too many, or one is too short.
    """
    if not (found := _lines(text)) or not _are_strong(text):
        raise ValueError(f"must hold 1 to {SECRETS_MAX} lines of at least {JWT_SECRET_BYTES_MIN} bytes")
    return found


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for each in text.split("\n") if (line := each.rstrip("\r")))


def _are_strong(text: str) -> bool:
    found = _lines(text)
    bytes_ = (len(secret.encode(errors="surrogateescape")) for secret in found)
    return len(found) <= SECRETS_MAX and all(count >= JWT_SECRET_BYTES_MIN for count in bytes_)
