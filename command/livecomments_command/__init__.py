"""The `livecomments` command: the roof. It wires the rooms together and runs them.

- `__main__`: the command line; `data_commands`: its commands for people who look after records.
- `greeting`: what is printed to whoever starts it by hand.
- `settings`: which settings each process takes; `capacity`: bounds that fit the machine.
- `assembly/`: the processes, each put together from its settings (dependency injection by hand).
- `epochs`: makes the topics, opens the first epoch, lists them; `next_epoch`: opens the next after a loss.
- `grow`: ends an epoch by fences, and opens the next with more partitions, while all goes on; `fences` reads where they
  are, `pause` tells how long writes waited.
- `backups`: `backup` and `restore` of the embedded form.
- `records/`: what the data commands do: scan, verify, rebuild, export, replay, dead letters.
- `deriving/`: jobs that make topics of the log: `counts`, `clean`.
- `planning/`: `plan`: what a load takes, on which numbers.
- `probing/`: `probe`: a canary that writes, watches, reads and deletes in every partition, by the public interface.
- `terminal/`: `tail` and `post`: a video in a terminal, by the public interface.
- `demo`: plays a real chat into a running service; `cast`: who plays in it.

Deliberately not here: any rule about comments.
"""
