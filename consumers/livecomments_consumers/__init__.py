"""Edge nodes: follow the log and fan out over Server-Sent Events.

In the field's words: this is the fan-out, or broadcast, of a pub/sub hub. Backpressure: a slow consumer is a viewer
whose position falls behind; it has no queue that could grow, and nobody waits for it. A thundering herd, which comes
back when an edge dies, is admitted at once and caught up in turns; what many need is read once (single-flight). Load is
shed by telling clients to come back, after a time of their own (jitter); a deploy drains at a constant rate.

Flow: the follower tells the hub of accepted records; the hub joins a video's new frames to one block while it
lingers, and wakes its viewers; each viewer is a position that its lane moves forward: live by the shared block,
behind from the tail or from history at its own pace. A viewer is never waited for, and never skips without a `gap`.

- `app`: the stream's route, and its claim at the door.
- `request`: a stream request, as the door or the framework has read it; `wanted`: what it asks for; `admission`: what
  becomes of it. Pure.
- `joining`: from what is wanted to a viewer's first position.
- `sessions`: whose stream it is, so that it ends with the session.
- `hub`: the channels, the tick, admission, drain.
- `channel`: one video's part of the hub: its lanes and the blocks they share.
- `passes`: the linger, and passes over the viewers of a channel; `cohort`: viewers at one place, written to in one go;
  `cohorts`: who stands in which; `spare`: how much of the core may be written in. Pure.
- `block`, `frames`, `wire`: joined frames; encoded SSE events; their plain, gzip and chunked forms.
- `facts`: the state of videos: whether they have ended, and their settings.
- `addresses`: how many streams one address has open. Pure.
- `backfill`: reads for viewers whose position the tail has left, one for all who need the same.
- `viewer`: one viewer's state machine. Pure.
- `turns`: whose turn it is of those who are behind.
- `lane`: how bytes reach a viewer; `transport_lane`, `asgi_lane`: to its transport, or as a plain ASGI response.
- `durable`: the route of a video's log as a durable stream, for pollers and the caches before them; `protocol`: its
  rules, `messages`: what it says. Pure. `slices`: reads for it; `poll`: a poller, as the hub sees it.
- `tracing`: the span of a comment on an edge, where it is wanted.
- `direct`: writes straight to a socket.
- `settings`: what can be configured; `metrics`: what the edge tells of itself.

Deliberately not here: judging, reading history, and who may read a video.
"""
