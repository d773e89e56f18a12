"""The wiring: how each process is put together from its settings. Dependency injection, by hand.

A module a process, which imports only what that process runs:

- `embedded`: the whole service in one process, on one file.
- `gateway`, `edge`, `stream`: the processes of the distributed form.

Pieces that several of them, or the tools for records, are made of:

- `kafka`, `cql`: the configured servers.
- `following`, `writing`: the follower; a gateway's write path.
- `growing`: how a process goes on in the next epoch.
- `telling`: what a process logs of its life: ready or not, which partitions, gone.
- `tracing`: what makes the spans of a process, where they are configured.
- `serving`: an application beside a port for health and metrics.

Deliberately not here: the command line.
"""
