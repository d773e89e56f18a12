"""One trace from the POST to the first socket, of the whole service with a collector beside it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from infra.local.collector import Collector, collector
from livecomments_schemas.traces import trace_context
from tests.served import Served, served

WITHIN_S: Final = 60.0
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TEXT: Final = "a text that nobody may see"
STEPS: Final = {"POST /comments/{videoId}", "append", "verdict", "persist", "deliver"}


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not holds():  # noqa: ASYNC110 - the collector is on threads of its own
            await asyncio.sleep(0.02)


async def write_and_watch(running: Served, token: str, message: str, **headers: str) -> int:
    """The status of a POST, while somebody watches until the comment has come."""
    async with running.client.get("/comments/v/stream") as stream:
        await stream.content.readline()
        sent = {"Authorization": f"Bearer {token}", **headers}
        async with running.client.post("/comments/v", json={"message": message}, headers=sent) as answer:
            status = answer.status
        while status == 201:
            line = await stream.content.readline()
            if line.startswith(b"data: {") and json.loads(line.removeprefix(b"data: ")).get("message") == message:
                break
    return status


def only_trace(kept: Collector) -> str:
    (trace_id,) = {span.trace_id for span in kept.spans}
    return trace_id


async def test_a_trace_has_every_step_below_the_right_one_and_nothing_that_is_secret(tmp_path: Path) -> None:
    with collector() as kept:
        async with served(tmp_path, otlp_endpoint=kept.url, trace_ratio=1.0) as running:
            token = await running.token("A name")
            caller = f"00-{TRACE}-{SPAN}-00"  # that it is sampled is ours to say
            assert await write_and_watch(running, token, TEXT, traceparent=caller) == 201
            await until(lambda: len(kept.spans) >= len(STEPS))
    steps = kept.trace(TRACE)
    assert steps.keys() == STEPS
    post, append = steps["POST /comments/{videoId}"], steps["append"]
    assert (post.parent_id, post.kind, post.attributes["http.response.status_code"]) == (SPAN, "SERVER", 201)
    assert (append.parent_id, steps["verdict"].parent_id) == (post.span_id, post.span_id)
    for name in ("persist", "deliver"):
        assert (steps[name].parent_id, steps[name].kind) == (append.span_id, "CONSUMER")
        for said in ("messaging.kafka.offset", "messaging.destination.partition.id"):
            assert steps[name].attributes[said] == append.attributes[said]
    assert steps["verdict"].attributes["livecomments.verdict"] == "accepted"
    for span in kept.spans:
        assert span.start_ns <= span.end_ns
    for secret in (TEXT, token, "A name", "127.0.0.1"):
        assert secret.encode() not in kept.raw


async def test_a_post_that_is_refused_says_why_by_its_code_alone(tmp_path: Path) -> None:
    with collector() as kept:
        async with served(tmp_path, otlp_endpoint=kept.url, trace_ratio=1.0) as running:
            assert await write_and_watch(running, "lcs_secret.token", TEXT) == 401
    (post,) = kept.trace(only_trace(kept)).values()
    assert (post.failed_with, post.attributes["error.type"]) == ("invalid_token", "invalid_token")
    assert b"lcs_secret" not in kept.raw


@pytest.mark.parametrize("said", ["", f"00-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", "9" * 500, "00-é"])
async def test_who_is_not_chosen_is_traced_by_nobody_whatever_they_say(tmp_path: Path, said: str) -> None:
    with collector() as kept:
        async with served(tmp_path, otlp_endpoint=kept.url, trace_ratio=0.0) as running:
            token = await running.token()
            headers = {"traceparent": said} if said else {}
            assert await write_and_watch(running, token, "hello", **headers) == 201
            (log,) = {running.service.follower.log}
            records = [
                record
                for number in range(log.partition_count)
                for record in (await log.read(number, 0, (await log.bounds([number]))[number].end, 10)).records
            ]
    assert not kept.spans
    (header,) = [record.headers.get("traceparent") for record in records]
    joined = trace_context(header)
    assert joined is None or (f"{joined.trace_id:032x}", joined.is_sampled) == (TRACE, False)


async def test_without_a_collector_nothing_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path, otlp_endpoint="http://127.0.0.1:9", trace_ratio=1.0) as running:
        token = await running.token()
        for number in range(3):
            assert await write_and_watch(running, token, f"hello {number}") == 201
