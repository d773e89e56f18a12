"""Deterministic simulation of an edge: thousands of seeded schedules a minute, each of which repeats exactly.

The real `Follower`, `History`, `Hub`, `Channel`, `Viewer` and lanes run on a loop with a clock of its own, over a log,
a store and sockets in memory that do what real ones do on their worst days. Clients read with a strict parser, are cut
anywhere, come back with the last id they saw, and hold what they are shown against what the log says.

- `loop`: time that passes only when nobody has anything to do.
- `truth`: what the log says, judged from its first record.
- `log`, `store`, `sockets`: what is not real.
- `edge`: what is, put together.
- `checker`: what one client was shown, held against the truth.
- `client`: reads, parses, is cut, comes back.
- `actions`: what may happen, and how often.
- `world`: one seed: a schedule, and what must hold after it.
- `run`, `__main__`: many seeds, counting what they met; `make sim`.
- `plants`: bugs, each of which some seed must notice.
- `test_sim`: all of that in the suite.
"""
