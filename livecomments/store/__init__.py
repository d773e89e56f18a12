"""The comment store: the log of each video, beyond what the log keeps and faster than it reads.

Flow: the stream job `write`s rows at their positions and advances the watermark behind them; history reads slices.

- `interface`: `CommentStore`, rows and slices, with what every implementation promises.
- `away`: a store that may be away when the process starts.
- `waves`: reading a video's buckets in waves, the same for every implementation.
- `embedded`: the store in one SQLite file.
- `cql`: the store on ScyllaDB or Cassandra. Import it only where CQL is configured: the driver is an extra.
- `cql_session`: the only door to the driver, and its bridge to asyncio.
- `migrations`: the schema of the CQL store, as numbered files.

Deliberately not here: what a record means (`schemas`), and joining store and log (`livecomments.history`).
"""
