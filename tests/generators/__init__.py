"""Clients that other people's generators make of `/openapi.json`: whether they are made, and whether they work.

- `tools`: the generators, in an environment of their own under `.run/`, at fixed versions.
- `test_generators`: each makes a client, and that client posts, reads a page, and gets typed objects.
- `js/`: the versions of what comes from npm.
"""
