"""`GET /videos/{videoId}/counts`: the last hour of a video, counted by the embedded service itself."""

from pathlib import Path
from typing import Any

import orjson

from tests.live.stream import until
from tests.schemas.test_examples import validator
from tests.served import Served, served


async def counts_of(running: Served, video_id: str) -> tuple[int, dict[str, Any]]:
    """Status and body."""
    async with running.client.get(f"/videos/{video_id}/counts") as answer:
        if answer.status == 200:
            assert answer.headers["Cache-Control"] == "public, max-age=5"
        return answer.status, orjson.loads(await answer.read())


async def test_comments_and_writers_are_told_also_after_a_start(tmp_path: Path) -> None:
    async with served(tmp_path, counts=True) as running:
        ana, ben = await running.token("Ana"), await running.token("Ben")
        for token, key in ((ana, "a"), (ana, "b"), (ben, "c"), (ben, "c")):
            assert (await running.post("v", f"hello {key}", token, key))[0] == 201

        async def are_counted() -> bool:
            status, said = await counts_of(running, "v")
            return status == 200 and sum(one["comments"] for one in said["minutes"]) == 3

        await until(are_counted, "counted")
        said = (await counts_of(running, "v"))[1]
    validator("counts").validate(said)
    assert said["videoId"] == "v"
    assert max(one["writers"] for one in said["minutes"]) <= 2
    async with served(tmp_path, counts=True) as running:

        async def is_read() -> bool:
            return (await counts_of(running, "v"))[0] == 200

        await until(is_read, "read")
        assert (await counts_of(running, "v"))[1]["minutes"] == said["minutes"]
        assert (await counts_of(running, "quiet"))[1]["minutes"] == []
        assert (await counts_of(running, "no%20video"))[1]["code"] == "invalid_video_id"


async def test_where_nobody_counts_it_says_so(tmp_path: Path) -> None:
    async with served(tmp_path) as running:
        status, said = await counts_of(running, "v")
        assert (status, said["code"]) == (404, "counts_not_kept")
