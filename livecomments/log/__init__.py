"""The comment log: where a comment becomes real.

Flow: a gateway `append`s; every reader `follow`s partitions without a group and passes what it reads through
`schemas.judge`; the newest records of each partition stay in its tail.

- `interface`: `CommentLog` and `LogReader`, with what every implementation promises.
- `embedded`: the log in one SQLite file.
- `tail`: the newest records of one partition, in memory.
- `follower`: follows partitions, judges, keeps tails, lets others wait for a position.

Deliberately not here: what a record means (`schemas`), and old history (`livecomments.history`).
"""
