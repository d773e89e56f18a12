"""What the three services share: log, store, the history made of both, what a process needs, and the command.

Imports run one way: `cli` → (`gateway`, `streams`, `consumers`) → `history` → (`log`, `store`) → `schemas`, `runtime`.
"""
