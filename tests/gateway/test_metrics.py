"""What operators see of requests: how many, how they ended, how long they took, and whose trace they belong to."""

from pathlib import Path
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.served import Served, served

TRACE: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def requests(running: Served) -> dict[tuple[str, str], float]:
    """Requests by call and result, since the process began."""
    async with running.client.get("/metrics") as answer:
        text = await answer.text()
    return {
        (sample.labels["call"], sample.labels["result"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "livecomments_gateway_requests_total"
    }


async def test_each_request_is_counted_by_its_call_and_how_it_ended(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        before = await requests(running)
        token = await running.token()
        await running.post("v", "hi", token)
        await running.post("v", "", token)
        await running.post("v", "hi", "lcs_no")
        await running.page("v")
        after = await requests(running)
    counted = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
    assert counted == {
        ("openSession", "done"): 1,
        ("postComment", "done"): 1,
        ("postComment", "message_empty"): 1,
        ("postComment", "invalid_token"): 1,
        ("readPage", "done"): 1,
    }


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(TRACE, True), (TRACE.upper(), False), (TRACE + "-x", False), ("00-" + "0" * 32 + TRACE[35:], False), ("", False)],
)
async def test_a_trace_goes_on_in_the_record_if_it_is_one(tmp_path: Path, sent: str, kept: bool) -> None:
    async with served(tmp_path) as running:
        headers = {"Authorization": f"Bearer {await running.token()}", "traceparent": sent}
        async with running.client.post("/comments/v", json={"message": "hi"}, headers=headers) as answer:
            assert answer.status == 201
        log = running.service.follower.log
        records = [record for part in range(2) for record in (await log.read(part, 0, 10, 10)).records]
    assert [record.headers.get("traceparent") for record in records] == [sent.encode() if kept else None]
