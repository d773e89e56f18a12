"""The comment log: where a comment becomes real. The interface, and what holds for every log.

Flow: a gateway `append`s; every reader `follow`s partitions without a consumer group (`livecomments.following`).

- `interface`: `CommentLog` and `LogReader`, with what every implementation promises.
- `continuity`: whether the log is still the one that was read.
- `revocations`: which tokens were revoked: a topic of its own, read whole.

Deliberately not here: the implementations (`livecomments.kafka`, `livecomments.embedded`), and what a record means
(`livecomments_schemas`).
"""
