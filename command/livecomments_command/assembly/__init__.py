"""How a process is put together from its settings: the wiring, by hand.

- `embedded`: the whole service in one process, on one file.
- `distributed`: gateway, edge and stream job as processes of their own.
- `parts`: the pieces that every form of the service is made of.

Deliberately not here: the command line.
"""
