"""What every process needs, whatever its job.

- `settings`: the configuration; the only reader of the environment.
- `values`: a setting's value, out of its text.
- `logs`: one JSON object a line on stderr.
- `tls`: how servers' certificates are checked.
- `metrics`: the metric registry and its exposition.
- `durable`: one SQLite file with one writer thread, for the embedded log and store.
- `lifecycle`: a uvicorn server that drains before it closes connections.
- `door`: reads a connection's first head, and may hand the connection to somebody else than uvicorn.
- `bounded_http`: uvicorn's protocol with bounds on every head and body.
- `cors`: which other sites' pages may call us.
- `problems`: errors as answers, one table for all.
- `health`: routes for operators.

Deliberately not here: anything that knows comments.
"""
