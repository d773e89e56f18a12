"""`livecomments tail` and `livecomments post`: a video in a terminal, by the public interface of any deployment.

Flow: `tail` reads the newest page, follows the stream from exactly there, and is back after whatever breaks; `post`
sends one comment under one key until there is a final answer.

- `remote`: requests to a deployment, and what went wrong with them.
- `following`: a video's events, one after the other, exactly once.
- `drawing`: an event as a line; nothing that people wrote is taken for anything but text.
- `writing`: one comment, written once.
- `commands`: what is typed.

It knows nothing of the server but its public interface, as apps do; what apps use is `clients/js`.
"""
