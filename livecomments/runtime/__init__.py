"""What every process needs, whatever its job.

- `settings`: the configuration; the only reader of the environment. `shared_settings`: parts of it that several
  processes take.
- `values`: a setting's value, out of its text.
- `logs`: one JSON object a line on stderr.
- `console`: what commands print: texts as they are.
- `metrics`: the metric registry and its exposition.
- `vitals`: which build runs, and how late its event loop is.
- `tracing`: spans of OpenTelemetry, where they are wanted.
- `machine`: the open files and the memory that the process may use.
- `tls`: how servers' certificates are checked, and which one we show.
- `rotation`: secrets and certificates that change while the process runs.
- `exclusive_file`: one process alone writes to a file.
- `expiry`: futures that end in time, by one timer for all.
- `single_flight`: one call for a thundering herd; `retrying`: backoff with jitter until it answers.

Deliberately not here: HTTP (`livecomments.web`), the log and the store.
"""
