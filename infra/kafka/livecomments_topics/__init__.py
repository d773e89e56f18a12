"""The topics as data.

- `topics.toml`: for each topic its key, partitions, replicas and settings, with the reasons.

Deliberately not here: code. `livecomments.log.topics` reads the file.
"""
