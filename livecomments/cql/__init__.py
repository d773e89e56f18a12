"""The comment store on ScyllaDB or Cassandra. Needs the extra `distributed`: import it only where CQL is configured.

- `store`: `CqlStore`: batched idempotent writes, reads by bucket.
- `session`: the only door to the driver, and its bridge to asyncio.
- `migrations`: the schema, as numbered files in the folder of the same name.

Deliberately not here: what a record means (`livecomments_schemas`).
"""
