"""The comment log in Kafka, by aiokafka: the only room that knows it. Needs the extra `distributed`.

It is a producer that waits for `acks=all`, fetches without a group, and retries of both with a bound.

- `log`: `KafkaLog`: checks the topic, joins the next three.
- `writer`: appends in batches of our own, with a deadline; replaces a producer that is spoilt.
- `refusals`: what a broker's refusal of a batch is worth, and how a producer goes on after one.
- `reader`: follows partitions without a group; `fetcher`: one request to each broker, whenever a reader polls.
- `ranges`: reads ranges and bounds, by a consumer of its own: reading back must not hold up what is live.
- `decoding`: makes records of what aiokafka fetched; lets readers go on past a batch that it cannot decode.
- `unpacking`: unpacks compressed batches within a bound.
- `fetching`: writes and reads fetches of many partitions for less than aiokafka does.
- `leaders`: notes where another leader went on, which may not have had all that was read.
- `probe`: asks which partitions answer; `rest`: how long a follower rests between two polls.
- `topic_id`: asks for the id by which a topic that was made anew is known.
- `contract`: what an epoch's live topic has become, against what it must be.
- `altering`: sets one setting of a topic.
- `connection`: how all Kafka clients connect and stop.
- `topics`: creates what is missing of `livecomments.log.topics`, and compares the rest.

Deliberately not here: consumer groups (`livecomments_streams.faust_runner`).
"""
