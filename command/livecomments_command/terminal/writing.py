"""One comment, written once: the same key on every attempt, until the service has said what became of it."""

import time
from collections.abc import Callable

from livecomments_command.terminal.remote import Refused, Remote, Unanswered, backoff_s


class Unknown(Exception):
    """There was no final answer in time: it may have been written, and the same key finds that out."""


class TerminalWriter:
    """Who writes: with the token of `remote`, or as a guest of this `name`, who is made when needed."""

    def __init__(
        self,
        remote: Remote,
        name: str,
        timeout_s: float,
        waits: Callable[[str], None] = lambda _: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._remote = remote
        self._name = name
        self._is_guest = remote.token is None
        self._until = time.monotonic() + timeout_s
        self._waits = waits
        self._sleep = sleep

    def write(self, video_id: str, message: str, key: str) -> str:
        """Return the comment's id.

        Raises:
            Refused: the service has said no, and nothing was written.
            Unknown: there was no final answer in time.
        """
        may_be_anew = self._is_guest
        attempt = 0
        while True:
            try:
                if self._remote.token is None:
                    self._remote.token = self._open_session()
                told, _ = self._remote.ask(
                    "POST",
                    self._remote.comments_url(video_id),
                    "commentId",
                    body={"message": message},
                    headers={"Idempotency-Key": key},
                )
                return str(told["commentId"])
            except Refused as refused:
                if refused.status != 401 or not may_be_anew:
                    raise
                may_be_anew, self._remote.token = False, None
            except Unanswered as problem:
                wait_s = max(backoff_s(attempt), problem.retry_after_s)
                if time.monotonic() + wait_s > self._until:
                    raise Unknown(str(problem)) from problem
                self._waits(str(problem))
                self._sleep(wait_s)
            attempt += 1

    def _open_session(self) -> str:
        url = f"{self._remote.base}/sessions"
        told, _ = self._remote.ask("POST", url, "sessionToken", body={"displayName": self._name})
        return str(told["sessionToken"])
