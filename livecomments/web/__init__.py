"""The HTTP server: uvicorn with the bounds, the drain and the answers that every process of ours has.

Flow: the door reads a connection's first head and hands the connection to whoever claims it (a stream of an edge) or
to uvicorn's own protocol, bounded; what an application raises becomes a problem (RFC 9457).

- `server`: a uvicorn server that drains before it closes connections.
- `door`: reads a connection's first head, and may hand the connection to somebody else than uvicorn.
- `bounded_http`: uvicorn's protocol with bounds on every head and body.
- `cors`: which other sites' pages may call us.
- `problems`: errors as answers, one table for all.
- `health`: routes for operators.

Deliberately not here: anything that knows comments.
"""
