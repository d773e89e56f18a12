"""Requests to the public address, as one person: with a token that was given, or as a guest whose session is kept."""

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from livecomments_loadtest.calls import Caller, CallOutcome, problem_code
from livecomments_loadtest.client import Origin, Pool
from livecomments_schemas.positions import CursorRejected

_CONNECTIONS_MAX: Final = 8
_SESSION_BYTES_MAX: Final = 4_096
DISPLAY_NAME: Final = "Probe"


class NotDone(Exception):
    """What was asked for was not done; the text says what came instead."""


GOES_WRONG: Final = (NotDone, OSError, CursorRejected, ValueError)
"""What a deployment, or whatever is there instead of one, can make of what is asked: no answer, a no, nonsense."""


class Person:
    """Who asks.

    Args:
        origin: the deployment's public address.
        token: gives the token to send, asked anew for each request, or raises OSError or ValueError; nothing for a
            guest.
        session_file: where a guest's session is kept for the next run, which else could not delete what this one left.
    """

    def __init__(
        self, origin: Origin, token: Callable[[], str] | None = None, session_file: Path | None = None
    ) -> None:
        self.origin = origin
        self._pool = Pool(origin, _CONNECTIONS_MAX)
        self._token = token
        self._session_file = session_file
        self._session = _kept(session_file)
        self._opening = asyncio.Lock()

    @property
    def is_guest(self) -> bool:
        return self._token is None

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def caller(self, give_up_at: float) -> Caller:
        """Return what asks until that moment of `time.perf_counter`."""
        return Caller(self._pool, give_up_at)

    async def ask(
        self,
        caller: Caller,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> CallOutcome:
        """Ask as this person; a guest whose session is no good any more gets a new one, once.

        Raises:
            NotDone: no session could be opened.
        """
        sent = b"" if body is None else orjson.dumps(body)
        for is_last in (False, True):
            authorization = {"authorization": f"Bearer {await self._speaks(caller)}"}
            outcome = await caller.ask(method, target, {**(headers or {}), **authorization}, sent)
            if is_last or not self.is_guest or outcome.response is None or outcome.response.head.status != 401:
                break
            self._session = ""
        return outcome

    async def _speaks(self, caller: Caller) -> str:
        if self._token is not None:
            try:
                return self._token()
            except (OSError, ValueError) as error:
                raise NotDone(f"no token to speak with: {error}") from error
        async with self._opening:
            if not self._session:
                body = orjson.dumps({"displayName": DISPLAY_NAME})
                told = member(await caller.ask("POST", "/sessions", {}, body), 201, "sessionToken")
                self._session = told
                _keep(self._session_file, told)
            return self._session


def member(outcome: CallOutcome, status: int, name: str) -> str:
    """Return a member of an answer's JSON.

    Raises:
        NotDone: another status, no such member, or no answer.
    """
    try:
        if outcome.response is not None and outcome.response.head.status == status:
            return str(orjson.loads(outcome.response.body)[name])
    except (ValueError, KeyError, TypeError):
        pass
    raise NotDone(said(outcome))


def said(outcome: CallOutcome) -> str:
    """Say what was answered, in a few words; where nothing final was, what came instead."""
    response = outcome.response
    if response is None:
        return "no final answer in time" + (f": {outcome.trouble}" if outcome.trouble else "")
    return f"answered {response.head.status} {problem_code(response)}".strip()


def _kept(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("ascii")[:_SESSION_BYTES_MAX].strip()
    except (OSError, ValueError):
        return ""


def _keep(file: Path | None, session: str) -> None:
    """Write the session so that nobody else can read it. Where that cannot be, this run goes on without."""
    if file is None:
        return
    try:
        file.unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
            made.write(session)
    except OSError:
        pass
