"""A video's events, each once and in order, for as long as there is a way to the service."""

import http.client
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

from livecomments_command.terminal.remote import Refused, Remote, Unanswered, backoff_s

EVERY_S: Final = 15.0
"""Between heartbeats, until the service says otherwise."""
SILENCE_MAX: Final = 2.5
"""So many heartbeats without a byte, and the connection is dead."""
_EVERY_S_MAX: Final = 120.0
_HEALTHY_S: Final = 10.0
_LINE_BYTES_MAX: Final = 1_000_000
_RETRY_S_MAX: Final = 60.0
PAGE_SIZE_MAX: Final = 100


class VideoEvent(NamedTuple):
    """`kind` is comment, delete, gap, stale, video, ended, or one of ours: `away` and `back`."""

    kind: str
    told: dict[str, Any]


class _StreamEnded(Exception):
    """There will be nothing more."""


class Following:
    """A video from its newest comments, or from behind `after`, which was seen."""

    def __init__(
        self, remote: Remote, video_id: str, history: int, after: str = "", sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._remote = remote
        self._history = min(history, PAGE_SIZE_MAX)
        self._url = remote.comments_url(video_id)
        self._stream_url = f"{self._url}/stream"
        self._sleep = sleep
        self._every_s = EVERY_S
        self._retry_s = 0.0
        self._has_begun = bool(after) or history == 0
        self._given = after
        self.cursor = after
        """Everything up to here was told."""

    def events(self) -> Iterator[VideoEvent]:
        """Yield what comes; an end of the video is the last.

        Raises:
            Refused: the service has said no.
        """
        attempt = 0
        is_away = False
        while True:
            began = time.monotonic()
            why = ""
            try:
                for event in self._attempt():
                    if is_away:
                        is_away = False
                        yield VideoEvent("back", {})
                    if event.kind != "heartbeat":
                        yield event
            except _StreamEnded:
                yield VideoEvent("ended", {})
                return
            except Unanswered as problem:
                why, self._retry_s = str(problem), max(self._retry_s, problem.retry_after_s)
            except (OSError, http.client.HTTPException) as error:
                why = str(error) or type(error).__name__
            except Refused as refused:
                if refused.code != "invalid_cursor" or not self._has_begun or self.cursor == self._given:
                    raise
                self._has_begun, self.cursor, why = False, "", "the place is not known any more; from the newest again"
            attempt = 0 if time.monotonic() - began > _HEALTHY_S else attempt
            if why and not is_away:
                is_away = True
                yield VideoEvent("away", {"why": why})
            self._sleep(max(backoff_s(attempt), self._retry_s))
            attempt, self._retry_s = attempt + 1, 0.0

    def _attempt(self) -> Iterator[VideoEvent]:
        if not self._has_begun:
            yield from self._newest()
        query = {"after": self.cursor} if self.cursor else {}
        url = f"{self._stream_url}?{urlencode(query)}"
        with self._remote.open("GET", url, timeout_s=SILENCE_MAX * self._every_s) as answer:
            if answer.status == 204:
                raise _StreamEnded
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise Unanswered("answered something that is no event stream; is that a livecomments?")
            for kind, event_id, data in self._read(answer):
                yield from self._heard(kind, event_id, data)

    def _newest(self) -> Iterator[VideoEvent]:
        query = urlencode({"sort": "desc", "pageSize": max(1, self._history)})
        page, came_from = self._remote.ask("GET", f"{self._url}?{query}", "streamUrl")
        url = urlsplit(urljoin(came_from, str(page["streamUrl"])))
        if not url.path.endswith("/stream"):
            raise Unanswered("answered with a page that leads to no stream; is that a livecomments?")
        read = page.get("comments")
        comments = read[::-1] if isinstance(read, list) and self._history else []
        self._stream_url = url._replace(query="").geturl()
        self.cursor = parse_qs(url.query).get("after", [""])[0]
        self._has_begun = True
        yield from (VideoEvent("comment", comment) for comment in comments if isinstance(comment, dict))

    def _read(self, answer: http.client.HTTPResponse) -> Iterator[tuple[str, str, str]]:
        """Yield whole events; the service writes a member a line, and ends each line with LF."""
        kind, event_id, data = "", "", ""
        while line := answer.readline(_LINE_BYTES_MAX):
            name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
            value = value.removeprefix(" ")
            if name == "event":
                kind = value
            elif name == "id":
                event_id = value
            elif name == "data":
                data += value
            elif name == "retry" and value.isdigit():
                self._retry_s = random.uniform(0, min(_RETRY_S_MAX, int(value) / 1_000))  # noqa: S311 - spreads retries
            elif line in (b"\n", b"\r\n") and kind:
                yield kind, event_id, data
                kind = data = ""

    def _heard(self, kind: str, event_id: str, data: str) -> Iterator[VideoEvent]:
        told = _object(data)
        if kind == "bye":
            if told.get("reason") == "ended":
                raise _StreamEnded
            return
        every_ms = told.get("everyMs")
        if isinstance(every_ms, int | float) and every_ms > 0:
            self._every_s = min(_EVERY_S_MAX, max(1.0, every_ms / 1_000))
        if event_id > self.cursor:
            self.cursor = event_id
        elif kind in ("comment", "delete", "gap"):
            return
        yield VideoEvent(kind, told)


def _object(data: str) -> dict[str, Any]:
    """Return the JSON object of an event; of an event of another kind than we know, nothing."""
    try:
        told = json.loads(data or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
