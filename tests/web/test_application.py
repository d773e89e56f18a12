"""What an application answers for what its routes raise, and for what none of them takes."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from livecomments.web.application import Application
from livecomments.web.problems import STATUS
from livecomments_schemas.errors import Rejected, Unavailable


class BusyUnavailable(Unavailable):
    code = "overloaded"
    retry_after_s = 7


class WhoRejected(Rejected):
    code = "missing_token"


def raising(error: Exception | None) -> Callable[[Request], Response]:
    async def endpoint(request: Request) -> Response:
        if error is not None:
            raise error
        return PlainTextResponse("done")

    return endpoint  # type: ignore[return-value]  # Starlette takes either


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    routes = [
        Route("/done", raising(None), methods=["GET"]),
        Route("/busy", raising(BusyUnavailable("Wait."))),
        Route("/who", raising(WhoRejected("Say who."))),
        Route("/bug", raising(ValueError("secret"))),
    ]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(Application(routes)), base_url="http://test") as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/busy", "overloaded"),
        ("GET", "/who", "missing_token"),
        ("GET", "/bug", "internal"),
        ("GET", "/nowhere", "not_found"),
        ("GET", "/done/", "not_found"),
        ("POST", "/done", "method_not_allowed"),
    ],
)
async def test_each_error_is_answered_as_its_problem(
    client: httpx.AsyncClient, method: str, path: str, code: str
) -> None:
    answer = await client.request(method, path, headers={"X-Request-Id": "0197-ab"})
    assert answer.status_code == STATUS[code][0]
    assert answer.json()["code"] == code
    assert answer.headers["x-request-id"] == answer.json()["requestId"] == "0197-ab"
    assert "secret" not in answer.text


async def test_the_headers_of_an_error_go_with_it(client: httpx.AsyncClient) -> None:
    assert (await client.get("/busy")).headers["retry-after"] == "7"
    assert (await client.get("/who")).headers["www-authenticate"] == "Bearer"
    assert "GET" in (await client.post("/done")).headers["allow"]


async def test_what_is_served_is_left_alone(client: httpx.AsyncClient) -> None:
    answer = await client.get("/done")
    assert (answer.status_code, answer.text) == (200, "done")
    assert (await client.head("/done")).status_code == 200
