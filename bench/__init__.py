"""Measurements. Numbers are of one machine and one moment: what is compared is measured in the same run.

- `persist`: rows a second of one stream job, beside bare loops.
- `replays`: records a second of replay, verify and rebuild, of log and mirror, beside bare loops.
- `history`: pages at any depth of a large video and of sparse ones, and bucket sizes compared.
- `post`: acknowledged POSTs a second of one gateway, beside `bare_route`, loaded by `post_load.c`;
  `bad_input`: others, who send the corpus meanwhile.
- `parsers`: CPU of a POST through our door, over the same behind uvicorn's protocol around httptools.
- `door`: what well-behaved clients notice of others that attack the door, in turns with none.
- `persist_stack`: servers, topics and keyspaces of them.
- `fanout`: CPU of an edge a delivered comment, beside a bare loop of `send()`; memory of an idle viewer.
- `latency`: from a POST to the sockets of the viewers, beside the broker's acknowledgement.
- `resume`: a crowd comes back at once; what those who stayed notice.
- `slow`: viewers that never read; what the others notice, and what they cost.
- `deriving`: what viewers notice of the jobs that make topics of the log, in turns with none.
- `videos`: many videos with a few viewers each, beside one.
- `scale`: what a node costs, one to four of a tier behind the router, beside nodes that follow everything.
- `takes`: how long the first request for a partition waits, and what others notice of it.
- `homes`: whose home is what, by the router's own Lua, for 10 to 1,000 nodes.
- `page`: what the page costs a browser, beside a bare page with the same video.
- `trace`: draws the spans of one comment.
- `codecs`: what Kafka's codecs would save of the real chat, and cost.
- `exports`: rows a second of exports, feeds, their merging and erasing, beside bare loops.
- `loops`: how the benches of many records show what stands beside a bare loop.
- `stand`: what these seven stand on: Kafka, an edge, a feed of comments.
- `viewers`: their viewers, and the bare loop, in C (`viewers.c`).
- `crowd`: what clients that poll cost an edge, by themselves and behind the recommended caches.
- `pollers`: those clients, in C (`pollers.c`).
- `compiled`: makes the programs of C.
- `command`: their command line; tables, JSON and chart.
- `chart`: bars as SVG.

How to run and to read them: docs/BENCHMARKS.md.
Deliberately not here: checks of what must be right (`tests/`, `livecomments load`).
"""
