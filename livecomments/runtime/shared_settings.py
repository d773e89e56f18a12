"""Parts of settings that more than one process takes: where it listens, its servers, how it follows the log."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from livecomments.runtime.logs import LEVELS
from livecomments.runtime.settings import NOT_NEGATIVE, POSITIVE, PREFIX, Rule, Settings, ValueRange, setting
from livecomments_schemas.errors import StartRefused

_ORIGIN: Final = re.compile(
    r"(?:https?://(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])"
    r"|(?!https?:|file:|data:|blob:|javascript:)[a-z][a-z0-9+.-]{0,63}://[A-Za-z0-9._~-]{1,253})(?::[0-9]{1,5})?"
)
"""As browsers and the web views of apps (`capacitor://localhost`) send it: no wildcard, no `null`, no path, no capitals
in a name of the Internet. Pages of files and the like have the origin `null`, which is everybody's."""
_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,64}")
_FOLLOW: Final = re.compile(r"auto|all|[0-9]{1,8}(,[0-9]{1,8})*|[0-9]{1,8}/[0-9]{1,8}")
AUTO: Final = "auto"
_ENDPOINT: Final = re.compile(r"https?://[^\s/@?#]{1,253}/?")
"""Without a user or password, which the log would show."""
_SECURITY: Final = ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PORT: Final = ValueRange(at_least=0, at_most=65_535)


@dataclass(frozen=True, kw_only=True)
class HostSettings(Settings):
    """Settings of what listens."""

    host: str = setting("127.0.0.1", "Address to listen on.")


@dataclass(frozen=True, kw_only=True)
class PublicSettings(HostSettings):
    """Settings of what is called by people's programs."""

    port: int = setting(8080, "Port to listen on; 0 takes a free one.", _PORT)
    cors_origins: str = setting("", "Origins whose pages may call us (https://example.org, comma-separated), exactly.")

    def rules(self) -> list[Rule]:
        """Require that origins are spelt as browsers send them."""
        origins = [origin.strip() for origin in self.cors_origins.split(",") if origin.strip()]
        are_origins = all(_ORIGIN.fullmatch(origin) for origin in origins)
        rule = "must be origins like https://example.org or capacitor://localhost, comma-separated"
        return [*super().rules(), ("cors_origins", are_origins, rule)]


@dataclass(frozen=True, kw_only=True)
class InternalSettings(HostSettings):
    """Settings of a process whose health and metrics are apart from what it serves."""

    internal_port: int = setting(9090, "Health and metrics of the distributed form, apart from the public port.", _PORT)


@dataclass(frozen=True, kw_only=True)
class LogSettings(Settings):
    """Settings of whatever logs."""

    log_level: str = setting(
        "info", "What is logged: debug, info, warning or error, and above. SIGUSR1 switches to debug, and back."
    )

    def rules(self) -> list[Rule]:
        """Return all rules: the level is one that there is."""
        return [*super().rules(), ("log_level", self.log_level in LEVELS, f"must be one of {', '.join(LEVELS)}")]


@dataclass(frozen=True, kw_only=True)
class TraceSettings(Settings):
    """Settings of whatever makes spans."""

    otlp_endpoint: str = setting(
        "",
        "Where spans are sent by OTLP over HTTP (http://collector:4318), of all processes alike. Empty: none are made.",
    )
    trace_ratio: float = setting(
        0.01, "Of the comments posted, how many are traced: 0 to 1.", ValueRange(at_least=0, at_most=1)
    )

    def rules(self) -> list[Rule]:
        """Return all rules: the endpoint is an address without a path."""
        is_address = not self.otlp_endpoint or bool(_ENDPOINT.fullmatch(self.otlp_endpoint))
        return [*super().rules(), ("otlp_endpoint", is_address, "must be an address like http://collector:4318")]


@dataclass(frozen=True, kw_only=True)
class RecordSettings(LogSettings):
    """Settings of whatever reads or writes records."""

    # A Path is immutable, so sharing the default is safe.
    data_dir: Path = setting(Path("data"), "Where the embedded log, store and session secret are kept.")  # noqa: RUF009
    store_ttl_s: int = setting(0, "Life of a stored comment from its append on, seconds; 0: for ever.")
    counts: bool = setting(
        False, "Whether comments a minute are counted; on servers `livecomments counts` does it, and gateways answer."
    )
    append_timeout_s: float = setting(
        5.0, "Until a POST without an acknowledged append answers append_unknown.", POSITIVE
    )

    def rules(self) -> list[Rule]:
        """Return all rules: what is stored is kept for ever, or for an hour to ten years."""
        fits = self.store_ttl_s == 0 or 3_600 <= self.store_ttl_s <= 315_360_000
        rule = "must be 0, or an hour to ten years; longer than the topic keeps records"
        return [*super().rules(), ("store_ttl_s", fits, rule)]


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings(Settings):
    """Settings of the embedded log."""

    partitions: int = setting(
        8, "Partitions of a new embedded log; one that was made keeps its own.", ValueRange(at_least=1, at_most=1_024)
    )


@dataclass(frozen=True, kw_only=True)
class ServerSettings(RecordSettings):
    """Settings of the distributed form: which Kafka and which store, and how to get in."""

    appends_soon: ClassVar[bool] = False
    """Whether a process makes its producers before anybody waits for them: those who only read may have no right to."""

    kafka: str = setting("", "Kafka bootstrap addresses, comma-separated. Empty: the embedded log.")
    topic_prefix: str = setting("", "Before the name of each topic, where several deployments share a Kafka.")
    kafka_security: str = setting("PLAINTEXT", "PLAINTEXT, SSL, SASL_SSL or SASL_PLAINTEXT, as the brokers' listener.")
    kafka_ca: str = setting("", "File with the CA certificates (PEM) of the brokers. Empty: the system's.")
    kafka_certificate: str = setting("", "File with our certificate (PEM), where the brokers ask for one.")
    kafka_key: str = setting("", "File with the key of that certificate. Empty: it is in the same file.")
    kafka_mechanism: str = setting("SCRAM-SHA-512", "With SASL: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    kafka_user: str = setting("", "With SASL: who we are.")
    kafka_password: str = setting("", "With SASL: the password.", secret=True)
    cql: str = setting("", "CQL contact points (host:port, comma-separated). Empty: the embedded store.")
    cql_keyspace: str = setting("livecomments", "Keyspace of the store.")
    cql_datacenter: str = setting("datacenter1", "Local datacenter of the CQL driver's load balancing.")
    cql_user: str = setting("", "Who we are to the store. Empty: it asks nobody.")
    cql_password: str = setting("", "The password of that user.", secret=True)
    cql_tls: bool = setting(False, "Whether the store is spoken to over TLS.")
    cql_ca: str = setting("", "File with the CA certificates (PEM) of the store. Empty: the system's.")
    cql_certificate: str = setting("", "File with our certificate (PEM), where the store asks for one.")
    cql_key: str = setting("", "File with the key of that certificate. Empty: it is in the same file.")
    cql_check_hostname: bool = setting(
        True, "Nodes' certificates must name their address; nodes are met by IP address."
    )
    replicas: int = setting(
        3, "Replicas of topics and keyspace: a 201 is on a majority of them.", ValueRange(at_least=1, at_most=9)
    )

    def rules(self) -> list[Rule]:
        """Return all rules: Kafka and CQL are set together; users, passwords and certificates fit the security."""
        has_sasl = self.kafka_security.startswith("SASL_")
        named = bool(self.kafka_user), bool(self.kafka_password)
        return [
            *super().rules(),
            ("kafka", bool(self.kafka) == bool(self.cql), "and LIVECOMMENTS_CQL must be set together, or neither"),
            ("topic_prefix", bool(_PREFIX.fullmatch(self.topic_prefix)), "must be up to 64 letters, digits, . _ or -"),
            ("kafka_security", self.kafka_security in _SECURITY, f"must be one of {', '.join(_SECURITY)}"),
            ("kafka_mechanism", self.kafka_mechanism in _MECHANISMS, f"must be one of {', '.join(_MECHANISMS)}"),
            (
                "kafka_user",
                named == (has_sasl, has_sasl),
                "and LIVECOMMENTS_KAFKA_PASSWORD must be set with LIVECOMMENTS_KAFKA_SECURITY=SASL_…, and only then",
            ),
            *(
                (
                    name,
                    not getattr(self, name) or self.kafka_security.endswith("SSL"),
                    "must not be set without TLS: LIVECOMMENTS_KAFKA_SECURITY=SSL or SASL_SSL",
                )
                for name in ("kafka_ca", "kafka_certificate")
            ),
            *(
                (name, not getattr(self, name) or self.cql_tls, "must not be set without LIVECOMMENTS_CQL_TLS")
                for name in ("cql_ca", "cql_certificate")
            ),
            *(
                (
                    f"{server}_key",
                    not getattr(self, f"{server}_key") or bool(getattr(self, f"{server}_certificate")),
                    f"must not be set without {PREFIX}{server.upper()}_CERTIFICATE",
                )
                for server in ("kafka", "cql")
            ),
            (
                "cql_user",
                bool(self.cql_user) == bool(self.cql_password),
                "and LIVECOMMENTS_CQL_PASSWORD must be set together, or neither",
            ),
        ]


@dataclass(frozen=True, kw_only=True)
class StaleSettings(Settings):
    """Settings of whoever tells that the log does not answer."""

    stale_after_s: float = setting(5.0, "A partition that has not answered this long is said to be stale.", POSITIVE)


@dataclass(frozen=True, kw_only=True)
class FollowSettings(StaleSettings):
    """Settings of a process that follows the log, and answers from what it has read."""

    follow: str = setting(
        "auto",
        "Partitions followed: auto (all there is room for, and any that is asked for), or always all, a list (0,5,7), "
        "or i/n, the i-th share of n.",
    )
    follow_records_per_s_max: float = setting(
        5_000.0, "With auto: beyond so many records a second, partitions used longest ago are let go.", POSITIVE
    )
    tails_bytes_max: int = setting(
        512 * 2**20,
        "Bytes of all partitions together in memory; with auto, likewise. Unset: a quarter of memory at most.",
        POSITIVE,
    )
    tail_records_max: int = setting(50_000, "Records of a partition kept in memory.", POSITIVE)
    tail_bytes_max: int = setting(32 * 2**20, "Bytes of a partition kept in memory.", POSITIVE)
    tail_age_max_s: float = setting(900.0, "Age of a record kept in memory.", POSITIVE)
    middle_records_max: int = setting(
        100_000, "Records read from the log between store and tail before giving up.", POSITIVE
    )
    partition_idle_s: float = setting(
        300.0, "Without auto, a partition that is not always followed is let go this long after its last use.", POSITIVE
    )

    def rules(self) -> list[Rule]:
        """Return all rules: the partitions to follow are named in one of four ways."""
        rule = "must be auto, all, a list such as 0,5,7, or i/n such as 1/2"
        return [*super().rules(), ("follow", bool(_FOLLOW.fullmatch(self.follow)), rule)]


@dataclass(frozen=True, kw_only=True)
class DrainSettings(Settings):
    """Settings of a process that holds streams open."""

    drain_s: float = setting(3.0, "After SIGTERM, open streams are ended within this window.", NOT_NEGATIVE)


def share_of(follow: str, partition_count: int) -> frozenset[int]:
    """Return the partitions that `follow` names to be followed always, of `partition_count`.

    Raises:
        StartRefused: a partition that does not exist, or an i/n with i outside 1..n.
    """
    if follow == AUTO:
        return frozenset()
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
