"""Topics that are made of the log, for people who work with data: jobs of their own, which nobody waits for.

Each follows all partitions without a consumer group, over the epochs, and remembers in the topic it writes how far it
is. Run twice at once, both write the same.

- `sources`: the epochs one after the other, each read and judged to its end, as it grows.
- `counting`: comments and writers a minute, as a fold over judged records. Pure.
- `counts`: the topic `comment-counts`, made by that.
- `cleaning`: what the clean topic says of judged records; `clean`: that topic, made of them; `comparing`: whether
  it is right.
- `running`: a job as a process on Kafka; `embedded`: the epochs of an embedded file.

Deliberately not here: what the stream job stores, and what viewers see.
"""
