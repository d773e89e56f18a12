"""The HTTP server: uvicorn with the bounds, the drain and the answers that every process of ours has.

Flow: the door reads a connection's requests one after the other. It hands the connection to whoever claims a request
(a stream of an edge), and makes of any other an exchange with the application; what that raises becomes a problem
(RFC 9457). uvicorn opens the port, takes the signals, and shuts down.

- `server`: a uvicorn server that drains before it closes connections.
- `door`: the protocol of every connection; who serves a request, and when the next one is read.
- `reserving`: a door that keeps open files free for the process: load shedding at its very edge.
- `waiting`: what a connection waits for, and for how long.
- `line`: who has more to do than one turn takes, or is refused: one after the other, and a rest behind each.
- `head_reader`: takes the next head from what a connection has brought.
- `heads`: what a request's head says, and where its message ends; what is not plainly HTTP/1.1 is refused.
- `bodies`: takes bodies out of their framing, by length or chunks.
- `exchange`: one request and its answer, as ASGI.
- `bounds`: bytes and seconds that a connection may cost, and what the kernel bounds for us.
- `deadline`: a moment that is moved often and reached rarely.
- `raw`: answers as bytes: `Date`, and problems of what never becomes a request.
- `encodings`: whether a client takes gzip.
- `bearer`: the token that a request bears.
- `cors`: which other sites' pages may call us.
- `application`: routes, and a problem for whatever they raise.
- `problems`: errors as answers, one table for all.
- `health`: routes for operators, and what routers ask.
- `routed`: what a router says of a request, counted.

Deliberately not here: anything that knows comments.
"""
