"""How much of everything a deployment needs: `livecomments plan`, from measured numbers and said assumptions.

- `measured.json`: what was measured, each number with the benchmark and the row it comes from (docs/BENCHMARKS.md).
- `measured`: reads it.
- `plan`: the arithmetic: a load, and what it takes. Pure.
- `commands`: the command and its tables.

Deliberately not here: measuring (`bench/`), and what a node is given by the router's own Lua (`bench.homes`).
"""
