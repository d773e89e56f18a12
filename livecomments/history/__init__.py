"""One answer from store, log and tail: what a video's comments are, in order, with no seam visible.

Flow: read the store's watermark; what is up to it comes from the store, what is in the follower's tail from there, and
what lies between the two from the log, judged like everything else. A delete above the watermark applies to all of it.

- `stretch`: what a read gives back, and where it came from.
- `middle`: the log between watermark and tail, of one partition, read once for all who need it.
- `detour`: the log instead of a store that is away, for streams.
- `log_end`: whether the log still holds what the store has of it; `log_time`: what its clock says.
- `store_lag`: how far the store is behind, as gateways tell it.
- `reading`: `History`: forward from a position, one comment, and the pieces pages are made of.
- `pages`: pages both ways.
- `state`: whether a video is over.

Deliberately not here: HTTP, SSE, and who may read what.
"""
