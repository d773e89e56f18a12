"""What the three services share, and nothing above it: the log, the store, the history made of both, and their rim.

Imports run one way: `history` → `following` → (`kafka`, `cql`, `embedded`) → (`log`, `store`) → `web`, `runtime`,
`sqlite` → the package `livecomments_schemas`. Nothing here knows a service or the command.

- `runtime`: settings, logs, metrics, TLS: what every process needs, whatever its job.
- `web`: the HTTP server and its bounds.
- `log`, `store`: the two interfaces, and what holds for every implementation of them.
- `kafka`, `cql`, `embedded`: the implementations; `sqlite`: the one durable file of the embedded ones.
- `following`: reading the log without a consumer group.
- `history`: one answer from store, log and tail.
"""
