"""The gateway: HTTP in. Authenticate, hold against rate limits, append, answer; and pages of history.

Flow of a POST: who speaks (`identity`), what they say (`requests`), is it a retry (its idempotency key is in the
window: deduplicated), rate limits (`admission`), append, wait until our own follower has judged the record, answer by
the verdict (`posting`). Reads and deletes of the same thing at once are one call (single-flight). What is too much at
once is refused (backpressure), and nothing is queued.

- `identity`: tokens: JWTs and our own session tokens.
- `jwts`: what a JWT says, once it is verified; `keys`: by which key and algorithm; `jwks`: an issuer's keys, fetched in
  the background.
- `kinds`: what a value may be, checked and described by one thing.
- `queries`: the parameters of an address, each once and by its own name.
- `requests`: bounded bodies, and the members and parameters they may hold.
- `calls`: the table of calls that routes and descriptions are built from: the contract.
- `openapi`: the table for programs and for people.
- `posting`: appending comments and deletes, and what their answer means; `holding`: between two epochs they wait.
- `copies`: the first of several comments with one key, on both sides of the seam of two epochs.
- `facts`: the state of a video; `videos`: the videos as this gateway knows them.
- `admission`: how fast a person, and all of them, may write; `counting`: what is counted for it.
- `word_list`: which messages are refused for a word in them.
- `owning`: what owners and moderators say of a video; `video_endpoints`: how they say it.
- `reports`: what viewers say against comments, and what moderators make of it; `report_endpoints`: how they say it.
- `count_endpoints`: comments and writers a minute, as a job of its own counts them.
- `tracing`: the spans of a POST, where they are wanted.
- `etags`: validators of answers; `files`: answers that are made once, plain and in gzip, or in parts.
- `settings`: what can be configured.
- `answers`: what endpoints have in common; `comment_endpoints`, `session_endpoints`: the calls about those.
- `routing`: routes made from the table of calls; `app`: all of them; `site`: the page's and the descriptions'.
- `page/`: the page people see at `/`. At once: `page.js`, `client.js` (made by clients/js), `composer.js` (writing),
  `row.js` (one comment), `film.js` (a clip of ours as the video). When needed: `acts.js` and `menu.js` (menus of
  comments), `pin.js`, `keyboard.js`, `member.js` (who came with a token), `moderate.js` and `reports.js` (what they may
  do).

Deliberately not here: streams, storing, and what a record means.
"""
