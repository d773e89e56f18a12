"""Log and store of the embedded form: both in one SQLite file (`livecomments.sqlite`), with its one writer thread.

- `log`: `EmbeddedLog`: group commit before any append of the group is answered; `log_rows`: its tables.
- `store`: `EmbeddedStore`.
- `elapsed`: how old what the file holds is, by a clock that may run ahead.
- `epochs`: which epochs the file has; adopts one that was made before they were told.
- `backup`: a copy of the file while it is used, and the epoch that begins with a copy.

Deliberately not here: a second process. The file belongs to one alone.
"""
