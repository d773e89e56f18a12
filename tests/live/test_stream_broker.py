"""A broker that is killed under a running worker, and comes back."""

from pathlib import Path

import pytest

from infra.local.servers import KafkaServer
from tests.live.stream import comments, deployment, until, videos_of

BROKER_BACK_S = 120.0
"""A killed broker reads its log again, and the group is made anew; on a busy machine."""

pytestmark = pytest.mark.timeout(400, func_only=True)


@pytest.mark.live
async def test_a_worker_goes_on_after_its_broker_was_killed(
    own_broker: KafkaServer, cql_address: str, tmp_path: Path
) -> None:
    async with deployment(own_broker.address, cql_address, tmp_path) as deployed:
        worker = await deployed.start().started()
        await deployed.append(comments(videos_of(2), 500, "before"))
        await deployed.complete()
        own_broker.kill()
        await until(lambda: worker.has_logged("lag not known"), "a worker that misses its broker")
        assert worker.process.poll() is None
        own_broker.start()
        own_broker.wait_ready()
        await deployed.append(comments(videos_of(2), 500, "after"))
        await deployed.complete(BROKER_BACK_S)
        assert worker.process.poll() is None, worker.logged
        assert await worker.stop() == 0, worker.logged
