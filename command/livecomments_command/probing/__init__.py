"""`livecomments probe`: a canary that writes, watches, reads and deletes comments of its own, as people do.

Flow of a turn: the video's newest page, from which it goes on, and what an earlier probe left is deleted; streams from
every edge; a POST; the comment on every stream and in history; a DELETE; the delete on every stream, and history
without it. One video in each partition, in turn, so that none can be broken and unseen.

- `videos`: which videos are the probe's own, and what their ids tell of the partitions.
- `edges`: where streams are asked for, by name or address.
- `watching`: one stream of one edge, which comes back when it is ended.
- `asking`: requests to the deployment's public address, as one person.
- `turn`: what happens in one video, and the step at which it went wrong.
- `telling`: turns as metrics, as lines of the log, and as the report.
- `running`: one turn after the other: through all partitions once, or for ever.
- `commands`: what is typed.

It knows nothing of the server but its public interface. Deliberately not here: load (`livecomments load`), and whether
what the log has is in the store (`livecomments verify`): pages do not tell where they come from.
"""
