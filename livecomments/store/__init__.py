"""The comment store: the log of each video, beyond what the log keeps and faster than it reads.

Flow: the stream job `write`s rows at their positions and advances the watermark behind them; history reads slices.

- `interface`: `CommentStore`, rows and slices, with what every implementation promises.
- `waves`: reading a video's buckets in growing waves, the same for every implementation.
- `embedded`: the store in one SQLite file.

Deliberately not here: what a record means (`schemas`), and joining store and log (`livecomments.history`).
"""
