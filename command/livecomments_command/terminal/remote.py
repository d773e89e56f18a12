"""Requests to a deployment: an answer of its own, or what kept it from one."""

import http.client
import json
import random
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

REQUEST_TIMEOUT_S: Final = 10.0
_BACKOFF_S: Final = 1.0
_BACKOFF_S_MAX: Final = 30.0
_PROBLEM_BYTES_MAX: Final = 100_000
_PASSING: Final = frozenset((408, 425, 429))


class Refused(Exception):
    """The service says no, and would again."""

    def __init__(self, code: str, detail: str, status: int) -> None:
        super().__init__(f"{detail} ({code})")
        self.code = code
        self.status = status


class Unanswered(Exception):
    """No answer of the service: the same request may be made again, `retry_after_s` from now at the soonest."""

    def __init__(self, detail: str, retry_after_s: float = 0.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


def backoff_s(attempt: int) -> float:
    """Return anything up to the doubled step, so that a crowd that left together does not come back together."""
    bound_s = min(_BACKOFF_S_MAX, _BACKOFF_S * 2 ** min(attempt, 10))
    return random.uniform(0, bound_s)  # noqa: S311 - spreads retries, no secret


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is no answer of the service: to a login page, most of the time, which must not get the token."""

    def redirect_request(self, *_: Any) -> None:
        """Go nowhere."""


_OPENER: Final = urllib.request.build_opener(_NoRedirects)


class Remote:
    """A deployment at `url`, which may have a path prefix; `token` is sent with every request."""

    def __init__(self, url: str, token: str | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"--url must begin with http:// or https://, and not be {url!r}")
        self.base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.token = token

    def comments_url(self, video_id: str) -> str:
        """Return the address of a video's comments."""
        return f"{self.base}/comments/{quote(video_id, safe='')}"

    def open(
        self,
        method: str,
        url: str,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> http.client.HTTPResponse:
        """Return an answer of 2xx; `timeout_s` is between two reads.

        Raises:
            Refused: the service has said no.
            Unanswered: nobody has, or somebody else, or it passes.
        """
        asked = dict(headers or {}) | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        data = None
        if body is not None:
            asked["Content-Type"] = "application/json"
            data = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        try:
            request = urllib.request.Request(url, data, asked, method=method)  # noqa: S310 - checked when made
            answer: http.client.HTTPResponse = _OPENER.open(request, timeout=timeout_s)
            return answer
        except urllib.error.HTTPError as error:
            raise _problem_of(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(
                f"{self.base}: {getattr(error, 'reason', None) or error or type(error).__name__}"
            ) from error

    def ask(self, method: str, url: str, has: str, **asked: Any) -> tuple[dict[str, Any], str]:
        """Return the JSON object that must have the member `has`, and the address it came from.

        Raises:
            Refused: the service has said no.
            Unanswered: nobody has, or somebody else, or it passes.
        """
        try:
            with self.open(method, url, **asked) as answer:
                told, came_from = json.loads(answer.read()), answer.geturl()
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered(f"{self.base}: {error}") from error
        except ValueError as error:
            raise Unanswered(f"{self.base} answers with something that is no JSON; is that a livecomments?") from error
        if not isinstance(told, dict) or has not in told:
            raise Unanswered(f"{self.base} answers without {has}; is that a livecomments?")
        return told, came_from


def _problem_of(error: urllib.error.HTTPError) -> Exception:
    with error:
        try:
            told = json.loads(error.read(_PROBLEM_BYTES_MAX))
        except (OSError, ValueError, http.client.HTTPException):
            told = None
    code = told.get("code") if isinstance(told, dict) else None
    if not isinstance(told, dict) or not isinstance(code, str):
        return Unanswered(f"answered {error.code}, and not by the service")
    detail = str(told.get("detail") or told.get("title") or code)
    if error.code >= 500 or error.code in _PASSING:
        after = error.headers.get("Retry-After", "")
        return Unanswered(f"{detail} ({code})", float(after) if after.isdigit() else 0.0)
    return Refused(code, detail, error.code)
