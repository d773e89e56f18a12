"""Following the log: reading partitions without a consumer group, so without a rebalance.

Flow: the follower assigns partitions to itself, reads one window back, passes each record through
`livecomments_schemas.judge`, keeps the newest in the partition's tail, and lets others wait for a position.

- `follower`: follows partitions, judges, keeps tails, lets others wait for a position.
- `growing`: goes on in the next epoch, in one step.
- `partition`: one followed partition: its window, its tail, its next offset.
- `read_back`: reads a range on in chunks, and back one window, so that a reader who begins mid-log judges like all.
- `tail`: the newest records of one partition, in memory.
- `share`: what is followed unasked, and let go of first, so that a process has a bound.
- `silence`: how long which partition has not answered.

Deliberately not here: old history (`livecomments.history`), and consuming in a group (`livecomments_streams`).
"""
