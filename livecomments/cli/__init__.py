"""The `livecomments` command: puts the rooms together and runs them.

- `__main__`: the command line.
- `embedded`: the whole service in one process, on one file.
- `distributed`: gateway, edge and stream job as processes of their own.
- `parts`: the pieces that every form of the service is made of.
- `demo`: plays a real chat into a running service.
- `data_commands`: the commands for people who look after records.
- `dead_letters`: lists, shows and replays records that were set aside.
- `rebuild`, `verify`: fills the store from the log; compares the two.
- `export`, `export_files`: the log's comments as files: what is exported, and in which form.
- `rebuild_export`: the same two with an export, for what the log no longer holds.
- `replay`, `replay_plan`: the topic's records again; from where, and up to where.
- `replay_paced`, `replay_sinks`: how fast, and into what: JSON lines or another topic.
- `opened`, `scan`, `bars`: log and store as the settings name them; the log read end to end, judged; progress.
- `load`: plays a chat through any deployment and checks what comes out.

Deliberately not here: any rule about comments.
"""
