"""Faust's consumer reads every codec of Kafka 4, and what lies compressed is stored like anything else."""

from pathlib import Path

from tests.kafka.test_codecs import CODECS
from tests.live.stream import comments, deployment, videos_of
from tests.log.contract import alter_topic


async def test_codecs_that_a_topic_takes_on_while_the_job_runs_stop_nothing(
    kafka_address: str, cql_address: str, tmp_path: Path
) -> None:
    async with deployment(kafka_address, cql_address, tmp_path) as deployed:
        worker = await deployed.start().started()
        for codec in CODECS:
            await alter_topic(deployed.kafka, deployed.topic, compression_type=codec)
            await deployed.append(comments(videos_of(2), 500, codec))
            await deployed.complete()
        assert await worker.stop() == 0, worker.logged
