"""Edge nodes: follow the log and fan out over Server-Sent Events.

Flow: the follower tells the hub of accepted records; the hub joins a video's new frames to one block per window and
wakes its viewers; each viewer is a position that its lane moves forward: live by the shared block, behind from the
tail or from history at its own pace. A viewer is never waited for, and never skips without a `gap`.

- `frames`: encoded SSE events.
- `viewer`: one viewer's state machine. Pure.
- `channel`: one video's part of the hub: its viewers and its newest blocks.
- `hub`: the channels, their windows, the heartbeat's tick, drain.
- `joining`: from a request's position to a viewer's first one.
- `lane`: how bytes reach a viewer: a plain ASGI response.
- `app`: the stream's route.

Deliberately not here: judging, reading history, and who may read a video.
"""
