"""What the data commands do with the log's records: read them end to end, compare, copy, set right.

- `opened`, `one_log`: log and store as the settings name them; a log that stays the same while it is read.
- `scan`, `bars`: the log read end to end, judged; progress.
- `kept_files`: checkpoints and manifests, written whole or not at all.
- `verify`, `rebuild`: compares store and log; fills the store from the log.
- `manifests`: what the manifests of exports and feeds have in common.
- `export`, `export_files`: the log's comments as files: what is exported, and in which form.
- `parquet`: comments, changes and facts as Parquet.
- `looking`: how a log that is followed is looked at while nothing comes, and until when.
- `feeding`, `feed`, `feed_steps`, `step_files`: what changes, step by step: over epochs; in one; a step; its files.
- `changes`, `places`: what a stretch of the log changes; where it is kept, a directory or a bucket.
- `rebuild_export`: `rebuild` and `verify` with an export, for what the log no longer holds.
- `erase`, `erase_exports`, `erase_feeds`: takes what one person wrote out of store and tail; out of exports; of feeds.
- `rewriting`, `compacting`: steps of a feed written anew, by manifest; many small ones as one.
- `replay`, `replay_plan`: the topic's records again; from where, and up to where.
- `replay_paced`, `replay_followed`, `replay_sinks`: how fast, for how long, and into what: JSON lines or another topic.
- `copies`: what a copied record says of where it was.
- `mirror`, `mirrored`: a topic of copies, read as the topic that it was made of; opened by its name.
- `seen_through`: what a store that changes one call of another begins with.
- `dead_letters`: lists, shows and replays records that were set aside.

Deliberately not here: serving anybody.
"""
