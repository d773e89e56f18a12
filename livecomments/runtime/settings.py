"""The configuration of a process: one frozen dataclass, read from the environment once.

Every field is `LIVECOMMENTS_` and its name in capitals; a secret may be in a file instead, named by the same and
`_FILE`. All problems are reported at once; an unknown name under our prefix is one of them, since a misspelt bound is a
bound that does not hold.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from livecomments.runtime.values import parsed, secret_in
from livecomments_schemas.errors import StartRefused
from livecomments_schemas.positions import EPOCH_MAX

PREFIX: Final = "LIVECOMMENTS_"
SESSION_LIFE_MAX_S: Final = 31 * 86_400
"""Less than the retention of the topic session-revocations, or a revoked token would speak again."""
ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\])(:[0-9]{1,5})?")
"""As browsers send it: no wildcard, no `null`, no path, no capitals."""
JWT_SECRET_BYTES_MIN: Final = 32
"""HS256 with a shorter key can be guessed offline (RFC 7518, 3.2). Our session tokens are signed the same way."""


def _setting(default: Any, doc: str, *, secret: bool = False) -> Any:
    return dataclasses.field(default=default, repr=not secret, metadata={"doc": doc, "secret": secret})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What can be configured. `docs/CONFIG.md` lists the same (held by tests/test_docs.py)."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(8080, "Port to listen on; 0 takes a free one.")
    internal_port: int = _setting(9090, "Health and metrics of the distributed form, apart from the public port.")
    # A Path is immutable, so sharing the default is safe.
    data_dir: Path = _setting(Path("data"), "Where the embedded log, store and session secret are kept.")  # noqa: RUF009
    kafka: str = _setting("", "Kafka bootstrap addresses, comma-separated. Empty: the embedded log.")
    kafka_security: str = _setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_SSL or SASL_PLAINTEXT, as the brokers' listener.")
    kafka_ca: str = _setting("", "File with the CA certificates (PEM) of the brokers. Empty: the system's.")
    kafka_mechanism: str = _setting("SCRAM-SHA-512", "With SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    kafka_user: str = _setting("", "With SASL: who we are.")
    kafka_password: str = _setting("", "With SASL: the password.", secret=True)
    cql: str = _setting("", "CQL contact points (host:port, comma-separated). Empty: the embedded store.")
    cql_keyspace: str = _setting("livecomments", "Keyspace of the store.")
    cql_datacenter: str = _setting("datacenter1", "Local datacenter of the CQL driver's load balancing.")
    cql_user: str = _setting("", "Who we are to the store. Empty: it asks nobody.")
    cql_password: str = _setting("", "The password of that user.", secret=True)
    cql_tls: bool = _setting(False, "Whether the store is spoken to over TLS.")
    cql_ca: str = _setting("", "File with the CA certificates (PEM) of the store. Empty: the system's.")
    cql_check_hostname: bool = _setting(
        True, "Nodes' certificates must name their address; nodes are met by IP address."
    )
    store_ttl_s: int = _setting(0, "Life of a stored comment from its append on, seconds; 0: for ever.")
    replicas: int = _setting(3, "Replicas of topics and keyspace: a 201 is on a majority of them.")
    epoch: int = _setting(1, "Generation of the comments topic: its name is comments-<epoch>.")
    partitions: int = _setting(8, "Partitions of the embedded log, fixed when its file is made.")
    follow: str = _setting("all", "Partitions always followed: all, a list (0,5,7), or i/n, the i-th share of n edges.")
    group: str = _setting("livecomments-stream", "Consumer group of the stream job.")

    jwt_secret: str = _setting("", "HS256 key of the JWTs to accept, at least 32 bytes. Empty: no JWTs.", secret=True)
    jwt_jwks_url: str = _setting("", "Where the issuer publishes its keys (RS256, ES256, EdDSA); instead of a secret.")
    jwt_issuer: str = _setting("", "Required `iss` of a JWT.")
    jwt_audience: str = _setting("", "Required `aud` of a JWT.")
    session_secret: str = _setting("", "Signs session tokens; empty: made once in the data directory.", secret=True)
    session_ttl_s: int = _setting(30 * 86_400, "Life of a session, renewals included, seconds.")
    session_idle_s: int = _setting(30 * 86_400, "Life of a session's token until it must be renewed, seconds.")
    guests: bool = _setting(True, "Whether anyone may open a session by giving a name.")

    cors_origins: str = _setting("", "Origins whose pages may call us (https://example.org, comma-separated), exactly.")

    unknown_videos: str = _setting("open", "Comments under videos that nobody has set: open, or registered (refused).")
    user_comments_max: int = _setting(0, "Comments of one person under one video within the next setting; 0: no limit.")
    user_window_s: float = _setting(10.0, "Seconds that LIVECOMMENTS_USER_COMMENTS_MAX counts over.")
    duplicate_text_s: float = _setting(0.0, "One person may say the same again after so many seconds; 0: at once.")
    word_list: str = _setting("", "File with a word or phrase a line; messages that hold one are refused.")
    append_timeout_s: float = _setting(5.0, "Until a POST without an acknowledged append answers append_unknown.")
    appends_in_flight_max: int = _setting(2_000, "Appends under way in one gateway; beyond it 503 overloaded.")
    tail_records_max: int = _setting(50_000, "Records of a partition kept in memory.")
    tail_bytes_max: int = _setting(32 * 2**20, "Bytes of a partition kept in memory.")
    tail_age_max_s: float = _setting(900.0, "Age of a record kept in memory.")
    middle_records_max: int = _setting(100_000, "Records read from the log between store and tail before giving up.")
    partition_idle_s: float = _setting(300.0, "A partition followed on demand is let go this long after its last use.")
    persist_delay_s: float = _setting(0.0, "Hold records back this long before storing them, for drills.")

    viewers_per_address_max: int = _setting(0, "Streams of one address; 0: no bound, as behind a proxy it must be.")
    viewers_max: int = _setting(20_000, "Streams in one process; beyond it a new one is told to come back.")
    heartbeat_interval_s: float = _setting(15.0, "Between heartbeats on a silent stream.")
    viewer_life_s: float = _setting(1_200.0, "A stream is ended after about this long, and comes back elsewhere.")
    viewer_stuck_s: float = _setting(20.0, "A viewer that takes no bytes this long is disconnected.")
    window_min_ms: int = _setting(25, "Comments of a busy video are joined for at least this long.")
    window_max_ms: int = _setting(100, "Comments of a busy video are joined for at most this long.")
    stale_after_s: float = _setting(5.0, "A partition that has not answered this long is said to be stale.")
    drain_s: float = _setting(3.0, "After SIGTERM, open streams are ended within this window.")

    @classmethod
    def load(cls, environ: Mapping[str, str], **overrides: Any) -> "Settings":
        """Settings from the environment; `overrides` (command-line options) win where they are not None.

        Raises:
            StartRefused: with every problem found, a line each.
        """
        fields = {PREFIX + field.name.upper(): field for field in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        problems = []
        for key in sorted(name for name in environ if name.startswith(PREFIX)):
            name = key if key in fields else key.removesuffix(_FILE)
            field = fields.get(name)
            if field is None or (name != key and not field.metadata["secret"]):
                problems.append(f"{key} is no setting.")  # without its value, which may be a misspelt secret
            elif name == key:
                try:
                    values[field.name] = parsed(field.type, environ[key])
                except ValueError as error:
                    problems.append(f"{_named(field, environ[key])} {error}.")
            elif name in environ:
                problems.append(f"{name} and {key} must not both be set.")
            else:
                try:
                    values[field.name] = secret_in(environ[key])
                except ValueError as error:
                    problems.append(f"{key} {error}.")  # without its value, which may be the secret
        values.update({name: value for name, value in overrides.items() if value is not None})
        settings = cls(**values)
        problems += settings.problems()
        if problems:
            raise StartRefused("\n".join(problems))
        return settings

    def problems(self) -> list[str]:
        """What is wrong with these values, each a sentence that names the setting and its value, masked if secret."""
        rules: list[tuple[str, bool, str]] = [
            ("port", 0 <= self.port <= 65_535, "must be 0 to 65535"),
            ("internal_port", 0 <= self.internal_port <= 65_535, "must be 0 to 65535"),
            ("replicas", 1 <= self.replicas <= 9, "must be 1 to 9"),
            (
                "store_ttl_s",
                self.store_ttl_s == 0 or 3_600 <= self.store_ttl_s <= 315_360_000,
                "must be 0, or an hour to ten years; longer than the topic keeps records",
            ),
            ("epoch", 1 <= self.epoch <= EPOCH_MAX, f"must be 1 to {EPOCH_MAX}"),
            ("partitions", 1 <= self.partitions <= 1_024, "must be 1 to 1024"),
            (
                "cors_origins",
                _are_origins(self.cors_origins),
                "must be origins like https://example.org, comma-separated",
            ),
            ("session_ttl_s", self.session_ttl_s <= SESSION_LIFE_MAX_S, f"must be at most {SESSION_LIFE_MAX_S}"),
            ("unknown_videos", self.unknown_videos in ("open", "registered"), "must be open or registered"),
            ("follow", bool(_FOLLOW.fullmatch(self.follow)), "must be all, a list such as 0,5,7, or i/n such as 1/2"),
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
            (
                "window_max_ms",
                0 < self.window_min_ms <= self.window_max_ms <= 200,
                "must be between LIVECOMMENTS_WINDOW_MIN_MS and 200, which is the promise to viewers",
            ),
            (
                "stale_after_s",
                0 < self.stale_after_s < self.heartbeat_interval_s * 2,
                "must be less than two heartbeats, or a frozen video looks alive",
            ),
            ("kafka", bool(self.kafka) == bool(self.cql), "and LIVECOMMENTS_CQL must be set together, or neither"),
            *self._access_rules(),
        ]
        weak = f"must have at least {JWT_SECRET_BYTES_MIN} bytes"
        rules += [(name, _is_strong(getattr(self, name)), weak) for name in ("jwt_secret", "session_secret")]
        rules += [(name, getattr(self, name) > 0, "must be more than 0") for name in _POSITIVE]
        rules += [(name, getattr(self, name) >= 0, "must not be negative") for name in _NOT_NEGATIVE]
        fields = {field.name: field for field in dataclasses.fields(self)}
        return [f"{_named(fields[name], getattr(self, name))} {rule}." for name, holds, rule in rules if not holds]

    def _access_rules(self) -> list[tuple[str, bool, str]]:
        has_sasl = self.kafka_security.startswith("SASL_")
        named = bool(self.kafka_user), bool(self.kafka_password)
        return [
            ("kafka_security", self.kafka_security in _SECURITY, f"must be one of {', '.join(_SECURITY)}"),
            ("kafka_mechanism", self.kafka_mechanism in _MECHANISMS, f"must be one of {', '.join(_MECHANISMS)}"),
            (
                "kafka_user",
                named == (has_sasl, has_sasl),
                "and LIVECOMMENTS_KAFKA_PASSWORD must be set with LIVECOMMENTS_KAFKA_SECURITY=SASL_…, and only then",
            ),
            (
                "kafka_ca",
                not self.kafka_ca or self.kafka_security.endswith("SSL"),
                "must not be set without TLS: LIVECOMMENTS_KAFKA_SECURITY=SSL or SASL_SSL",
            ),
            ("cql_ca", not self.cql_ca or self.cql_tls, "must not be set without LIVECOMMENTS_CQL_TLS"),
            (
                "cql_user",
                bool(self.cql_user) == bool(self.cql_password),
                "and LIVECOMMENTS_CQL_PASSWORD must be set together, or neither",
            ),
        ]

    def shown(self) -> dict[str, object]:
        """All values, secrets masked, for the line that is printed at start."""
        shown: dict[str, object] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            masked = "***" if value else ""
            shown[field.name] = masked if field.metadata["secret"] else str(value) if isinstance(value, Path) else value
        return shown


def share_of(follow: str, partition_count: int) -> frozenset[int]:
    """The partitions that `follow` names, of `partition_count`.

    Raises:
        StartRefused: a partition that does not exist, or an i/n with i outside 1..n.
    """
    if follow == "all":
        return frozenset(range(partition_count))
    if "/" in follow:
        ordinal, count = (int(part) for part in follow.split("/"))
        if not 1 <= ordinal <= count:
            raise StartRefused(f"{PREFIX}FOLLOW={follow}: i/n needs i from 1 to n.")
        return frozenset(range(ordinal - 1, partition_count, count))
    partitions = frozenset(int(part) for part in follow.split(","))
    if max(partitions) >= partition_count:
        raise StartRefused(f"{PREFIX}FOLLOW={follow}: the topic has only partitions 0 to {partition_count - 1}.")
    return partitions


_FILE: Final = "_FILE"
"""Behind the name of a secret: the name of a file that holds it."""
_SECURITY: Final = ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FOLLOW: Final = re.compile(r"all|[0-9]{1,8}(,[0-9]{1,8})*|[0-9]{1,8}/[0-9]{1,8}")
_POSITIVE: Final = (
    "append_timeout_s",
    "appends_in_flight_max",
    "heartbeat_interval_s",
    "middle_records_max",
    "partition_idle_s",
    "session_idle_s",
    "session_ttl_s",
    "tail_age_max_s",
    "tail_bytes_max",
    "tail_records_max",
    "user_window_s",
    "viewer_life_s",
    "viewer_stuck_s",
    "viewers_max",
)
_NOT_NEGATIVE: Final = (
    "drain_s",
    "duplicate_text_s",
    "persist_delay_s",
    "user_comments_max",
    "viewers_per_address_max",
)
_JWKS_URL: Final = re.compile(r"https://[^\s@]+|http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]+)?(/\S*)?")


def _named(field: dataclasses.Field[Any], value: object) -> str:
    shown = str(value) if isinstance(value, Path) else value
    return f"{PREFIX}{field.name.upper()}={'***' if field.metadata['secret'] else repr(shown)}"


def _are_origins(text: str) -> bool:
    return all(ORIGIN.fullmatch(origin.strip()) for origin in text.split(",") if origin.strip())


def _is_strong(secret: str) -> bool:
    return not secret or len(secret.encode(errors="surrogateescape")) >= JWT_SECRET_BYTES_MIN
