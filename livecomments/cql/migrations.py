"""The schema of the CQL store: the files in `migrations/`, applied in their order, each recorded once it is applied.

Every statement is IF NOT EXISTS or writes what any other run would write, so a migration that was interrupted, or is
run twice, or by two processes at once, ends the same. A file that was released is never changed; a new one is added.
"""

from importlib.resources import files
from string import Template
from typing import Any, Final

from livecomments.cql.session import OPEN, CqlAccess, CqlSession, checked_keyspace, connect, translated
from livecomments.runtime.rotation import Rotated
from livecomments.store.interface import BUCKET_BITS, StoreUnavailable
from livecomments_schemas.errors import StartRefused

_SCHEMA_TIMEOUT_S: Final = 30.0
"""Changing a schema takes seconds on a busy cluster."""
_GROUND: Final = """
CREATE KEYSPACE IF NOT EXISTS $keyspace
    WITH replication = {'class': 'NetworkTopologyStrategy', 'replication_factor': $replication_factor};
CREATE TABLE IF NOT EXISTS $keyspace.migrations (name text PRIMARY KEY);
"""
_TABLES: Final = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = '{}'"
_APPLIED: Final = "SELECT name FROM {}.migrations"
_RECORD: Final = "INSERT INTO {}.migrations (name) VALUES ('{}')"
_BITS: Final = "SELECT number FROM {}.layout WHERE name = 'bucket_bits'"
_RECORD_BITS: Final = "INSERT INTO {}.layout (name, number) VALUES ('bucket_bits', {})"


def migrate(
    contact_points: str,
    *,
    keyspace: str,
    datacenter: str,
    replication_factor: int,
    bucket_bits: int = BUCKET_BITS,
    access: Rotated[CqlAccess] = OPEN,
) -> list[str]:
    """Bring the schema up to date, blocking; returns the names of the migrations that this call applied.

    A keyspace that exists keeps its replication.

    Raises:
        StartRefused: a name or number that cannot be, or a store laid out with other bucket bits.
        StoreUnavailable: no answer, or the nodes did not agree on the schema in time; run it again.
    """
    checked_keyspace(keyspace)
    if replication_factor < 1:
        raise StartRefused("The replication factor must be at least 1.")
    session = connect(contact_points, datacenter, _SCHEMA_TIMEOUT_S, to_migrate=True, access=access)
    try:
        with translated():
            _change(session, _GROUND, keyspace, replication_factor)
            applied = {name for (name,) in session.execute(_APPLIED.format(keyspace))}
            missing = [name for name in migration_names() if name not in applied]
            for name in missing:
                _change(session, _text(name), keyspace, replication_factor)
                session.execute(_RECORD.format(keyspace, name))
            found = session.execute(_BITS.format(keyspace)).one()
            if found is None:
                session.execute(_RECORD_BITS.format(keyspace, bucket_bits))
            else:
                _refuse_other_bits(found[0], bucket_bits)
            return missing
    finally:
        session.cluster.shutdown()


async def refuse_other_schema(session: CqlSession, keyspace: str, bucket_bits: int) -> None:
    """Check that the store is laid out as this code writes. A newer schema is: migrations only add.

    Raises:
        StartRefused: the schema is missing, older, or has other bucket bits.
        StoreUnavailable
    """
    refused = StartRefused(f"The keyspace {keyspace} lacks tables of this livecomments: run `livecomments migrate`.")
    tables = await session.execute(await session.prepare(_TABLES.format(keyspace)))
    if ("migrations",) not in tables:
        raise refused
    applied = await session.execute(await session.prepare(_APPLIED.format(keyspace)))
    if any((name,) not in applied for name in migration_names()):
        raise refused
    found = await session.execute(await session.prepare(_BITS.format(keyspace)))
    if not found:
        raise refused
    _refuse_other_bits(found[0][0], bucket_bits)


def migration_names() -> list[str]:
    """Return the names of all migrations, in their order."""
    room = files("livecomments.cql") / "migrations"
    return sorted(file.name.removesuffix(".cql") for file in room.iterdir() if file.name.endswith(".cql"))


def statements_of(text: str) -> list[str]:
    """Split a migration into its statements. Comments are lines of their own; no statement holds a `;` inside."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()]


def _text(name: str) -> str:
    return (files("livecomments.cql") / "migrations" / f"{name}.cql").read_text(encoding="utf-8")


def _change(session: Any, text: str, keyspace: str, replication_factor: int) -> None:
    """Run statements one by one, all nodes agreeing on the schema after each.

    All runs go through the same node where they can: Cassandra 5 does not order two nodes that create the same table at
    the same moment, and each may give it another id.
    """
    node = min(session.get_pool_state(), key=lambda host: str(host.address), default=None)
    names = {"keyspace": keyspace, "replication_factor": str(replication_factor)}
    for statement in statements_of(Template(text).substitute(names)):
        session.execute(statement, host=node)
        if not session.wait_for_schema_agreement(wait_time=_SCHEMA_TIMEOUT_S):
            raise StoreUnavailable("The nodes did not agree on the schema in time. Run `livecomments migrate` again.")


def _refuse_other_bits(found: int, bucket_bits: int) -> None:
    if found != bucket_bits:
        raise StartRefused(
            f"The store was made with {found} bucket bits, this livecomments uses {bucket_bits}. "
            "Use the livecomments that made it, or another keyspace."
        )
