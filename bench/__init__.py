"""Measurements. Numbers are of one machine and one moment: what is compared is measured in the same run.

- `persist`: rows a second of one stream job, beside bare loops.
- `history`: pages at any depth of a large video and of sparse ones, and bucket sizes compared.
- `history_chart`: the chart of `history`, as SVG.
- `post`: acknowledged POSTs a second of one gateway, beside `bare_route`, loaded by `post_load.c`.
- `persist_stack`: servers, topics and keyspaces of them.

Deliberately not here: checks of what must be right (`tests/`, `livecomments load`).
"""
