"""The stream job: from the log into the store, at least once, every row where it belongs.

Flow: a runner takes the records of its partitions in order and hands them to the partition's `Persister`, which
judges them, writes their rows, sets aside what nobody can read, and advances the watermark behind what the store
acknowledged. While the store is slow or away it retries, and takes no more: that is its backpressure, and shows as
consumer lag. A rebalance of the group moves partitions; what was under way is stored twice, at the same place.

- `persister`: what happens to one partition's records; knows no runner.
- `job`: the persisters of one process; what every runner drives.
- `progress`: the job's consumer lag, and whether its group still delivers.
- `dead_letters`: records set aside with their reason, in a topic of their own.
- `faust_runner`: takes records in a consumer group.
- `faust_polls`: what Faust hands over at once: a whole poll. Nothing but these two knows Faust.
- `tracing`: the span of a comment that is stored, where it is wanted.
- `settings`: what can be configured.
- `finishing`: stores an epoch to its end.
- `loop`: the plain runner, which follows all partitions: for the embedded form.

Deliberately not here: serving anybody. Whoever reads history reads the store.
"""
