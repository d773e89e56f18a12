"""The configured CQL store: how it is spoken to, the store itself, and its schema."""

from functools import lru_cache
from typing import Final

from livecomments.cql.migrations import migrate
from livecomments.cql.session import CqlAccess
from livecomments.cql.store import CqlStore
from livecomments.runtime.rotation import FromFiles
from livecomments.runtime.shared_settings import ServerSettings
from livecomments.runtime.tls import client_context
from livecomments.runtime.values import as_it_is_now, file_of
from livecomments.store.interface import Lifetime

_SETTINGS_MAX: Final = 16
"""Settings whose access is kept; a process has one, tests have some."""


@lru_cache(_SETTINGS_MAX)
def cql_access(settings: ServerSettings) -> FromFiles[CqlAccess]:
    """Return how the configured store is spoken to, the same whenever a process asks.

    Raises:
        StartRefused: its certificates cannot be used, or its password cannot be read.
    """

    def read() -> CqlAccess:
        tls = None
        if settings.cql_tls:
            tls = client_context(
                "LIVECOMMENTS_CQL_CA",
                settings.cql_ca,
                check_hostname=settings.cql_check_hostname,
                certificate=settings.cql_certificate,
                key=settings.cql_key,
            )
        return CqlAccess(settings.cql_user, as_it_is_now(settings.cql_password), tls)

    files = (settings.cql_ca, settings.cql_certificate, settings.cql_key, file_of(settings.cql_password))
    return FromFiles("cql", files, read)


def cql_store(settings: ServerSettings, lifetime: Lifetime | None = None) -> CqlStore:
    """Return the configured CQL store, not yet opened; `lifetime` is for whoever fills it."""
    return CqlStore(
        settings.cql,
        keyspace=settings.cql_keyspace,
        datacenter=settings.cql_datacenter,
        lifetime=lifetime or Lifetime(settings.store_ttl_s),
        access=cql_access(settings),
    )


def migrate_schema(settings: ServerSettings) -> list[str]:
    """Bring the configured store's schema up to date; blocks. Returns the migrations that were applied.

    Raises:
        StartRefused: the schema is of a newer livecomments, or the settings cannot be.
        StoreUnavailable: the store does not answer.
    """
    return migrate(
        settings.cql,
        keyspace=settings.cql_keyspace,
        datacenter=settings.cql_datacenter,
        replication_factor=settings.replicas,
        access=cql_access(settings),
    )
