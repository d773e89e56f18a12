"""The comment log: where a comment becomes real.

Flow: a gateway `append`s; every reader `follow`s partitions without a group and passes what it reads through
`schemas.judge`; the newest records of each partition stay in its tail.

- `interface`: `CommentLog` and `LogReader`, with what every implementation promises.
- `embedded`: the log in one SQLite file; `embedded_rows`: its tables.
- `kafka`: the log in Kafka: checks the topic, joins the next three.
- `kafka_writer`: appends in batches of our own, with a deadline; replaces a producer that is spoilt.
- `kafka_reader`: follows partitions without a group; reads ranges and bounds.
- `kafka_decoding`: makes records of what aiokafka fetched; lets readers go on past a batch that it cannot decode.
- `kafka_probe`: asks which partitions answer.
- `kafka_topic_id`: asks for the id by which a topic that was made anew is known.
- `kafka_connection`: how all Kafka clients connect and stop.
- `topics`: creates what is missing of `topics.toml`, the topics as data, and compares the rest.
- `tail`: the newest records of one partition, in memory.
- `partition`: one followed partition: its window, its tail, its next offset.
- `follower`: follows partitions, judges, keeps tails, lets others wait for a position.
- `silence`: how long which partition has not answered.
- `continuity`: whether the log is still the one that was read.
- `revocations`: which tokens were revoked: a topic of its own, read whole.

`kafka*` and `topics` need the extra `distributed`: import them only where a Kafka is configured.

Deliberately not here: what a record means (`schemas`), and old history (`livecomments.history`).
"""
