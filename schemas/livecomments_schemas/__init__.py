"""What travels: the shapes, names and rules every other room agrees on. Pure: no I/O, no clock, no settings.

Flow: the gateway builds a `NewRecord` (`events`), the log gives it an offset, everybody passes the `Record` through
`judge`, and whoever shows it calls `render`.

- `errors`: the roots of the error tree, named by who must act.
- `limits`: every bound of the public interface, with unit and reason.
- `positions`: epoch, offset, partition, and the comment id that packs them.
- `partitions`: which partition a video lives in.
- `events`: the event types, their headers and values.
- `epochs`: which epochs there are, and what each must be: a fold over a topic of its own.
- `counts`: what is said of comments and writers a minute.
- `traces`: `traceparent`, by which spans of one comment find together.
- `text`: what a message may hold, and its normal form.
- `window`: what is remembered of the newest records of a partition.
- `judge`: what a record is, the same for every reader.
- `render`: the public JSON of a comment, for live, page and export.
- `json/`: JSON Schema of the same, for people who read the topic with other tools. Golden examples: `schemas/examples`.
- `published`: those schemas as data, for the documents that are made of them.

Deliberately not here: reading or writing anything but these, and deciding who may do what.
"""
