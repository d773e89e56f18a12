"""The gateway: HTTP in. Authorise, admit, append, answer; and pages of history.

Flow of a POST: who speaks (`identity`), what they say (`requests`), is it a retry, append, wait until our own follower
has judged the record, answer by the verdict (`posting`).

- `identity`: tokens: JWTs and our own session tokens.
- `requests`: bounded bodies and parameters.
- `posting`: appending comments and deletes, and what their answer means.
- `app`: the routes.
- `page/`: the page people see at `/`.

Deliberately not here: streams, storing, and what a record means.
"""
