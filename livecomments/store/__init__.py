"""The comment store: the log of each video, beyond what the log keeps and faster than it reads. The interface.

Flow: the stream job `write`s rows at their positions and advances the watermark behind them; history reads slices.

- `interface`: `CommentStore`, rows and slices, with what every implementation promises.
- `rows`: the rows of a judged record.
- `away`: a store that may be away when the process starts.
- `waves`: reading a video's buckets in waves, the same for every implementation.

Deliberately not here: the implementations (`livecomments.cql`, `livecomments.embedded`), what a record means
(`livecomments_schemas`), and joining store and log (`livecomments.history`).
"""
