"""The comment log: where a comment becomes real. The interface, and what holds for every log.

Flow: a gateway `append`s; every reader `follow`s partitions without a consumer group (`livecomments.following`).

- `interface`: `CommentLog` and `LogReader`, with what every implementation promises.
- `lag`: consumer lag of one partition, as far as anybody looked.
- `topics`: the topics' names, and what each must be.
- `continuity`: whether the log is still the one that was read.
- `whole`: a topic of one partition that is read whole and followed.
- `revocations`: which sessions were revoked, in such a topic; `session_names`: which session a token belongs to.
- `epochs`: which epochs there are and what each must be, in another; whether this process may write.
- `counts`: the newest comments and writers a minute, in bounded memory.

Deliberately not here: the implementations (`livecomments.kafka`, `livecomments.embedded`), and what a record means
(`livecomments_schemas`).
"""
