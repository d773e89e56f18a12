"""Fault injection: a deployment of its own under load, its processes killed, and what was promised checked.

- `faults`: kills each process of a stack under load; `pulse` tells when it is well again.
- `growing`: grows the epoch under load on three brokers, with a leader killed in the midst.
- `alerts`: hurts a stack while Debian's Prometheus evaluates the chart's rules on it, and says which alerts fired when.
- `fill`: fills the log, and measures what each process then takes to start.
- `crowd`: kills a cache and the edges behind it before a crowd that polls.
- `__main__`: `python -m chaos faults`, `grow`, `alerts`, `fill`, `crowd`.

Deliberately not here: starting the servers (`infra.local`), the load and its checks (`livecomments load`).
"""
