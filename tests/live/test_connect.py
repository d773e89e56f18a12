"""Kafka Connect reads the clean topic without code of ours: infra/connect as it is, but for addresses and names."""

import asyncio
import json
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from infra.local.epochs import OwnEpoch, own_epoch
from infra.local.jars import LIB_DIR, locked
from infra.local.ports import HOST, free_port
from livecomments.kafka.log import KafkaLog
from livecomments_schemas.events import NewRecord, comment_deleted
from livecomments_schemas.partitions import partition_of
from livecomments_schemas.positions import comment_id, position_at
from tests.conformance.programs import running
from tests.live.stream import comments, process_of, until, videos_of

ROOM: Final = Path(__file__).parents[2] / "infra/connect"
PARTITIONS: Final = 2
VIDEO, OTHER = videos_of(PARTITIONS, 2)
MAVEN_TIMEOUT_S: Final = 400

pytestmark = pytest.mark.timeout(MAVEN_TIMEOUT_S + 240)


async def test_what_readers_see_is_in_its_file_with_deletes_and_each_once_over_a_stop(
    kafka_address: str, tmp_path: Path
) -> None:
    if not all(map(shutil.which, ("java", "mvn"))):
        pytest.skip("no Java or Maven here: apt-get install openjdk-17-jdk-headless maven")
    jars = await asyncio.to_thread(gathered)
    own = await own_epoch(kafka_address, PARTITIONS)
    set_up(tmp_path, own)
    command = ("java", "-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectStandalone")
    connect = (*command, "worker.properties", "clean-to-file.properties")

    def lines() -> list[str]:
        file = tmp_path / "comments.jsonl"
        return file.read_text().splitlines() if file.exists() else []

    async with cleaned(own, tmp_path) as log:
        first = await append(log, comments([VIDEO, OTHER], 40, "first"))
        async with running(tmp_path / "connect-1.log", *connect, cwd=tmp_path) as process:
            await until(lambda: len(lines()) >= len(first), "written")
            await append(log, [comment_deleted(VIDEO, first[0], "mod")])
            await until(lambda: "null" in lines(), "the delete")
            process.send_signal(signal.SIGTERM)
            assert await process.wait() in (0, 143)
        later = await append(log, comments([VIDEO, OTHER], 20, "later"))
        async with running(tmp_path / "connect-2.log", *connect, cwd=tmp_path):
            await until(lambda: len(lines()) > len(first) + len(later), "gone on")
    said = [json.loads(line) for line in lines()]
    assert said.count(None) == 1
    assert sorted(one["commentId"] for one in said if one) == sorted(first + later)
    of_video = [one["commentId"] for one in said if one and one["videoId"] == VIDEO]
    assert of_video == sorted(of_video), "a video keeps its order"


@asynccontextmanager
async def cleaned(own: OwnEpoch, folder: Path) -> AsyncIterator[KafkaLog]:
    """The log of an epoch, and its clean topic kept beside."""
    values = {"KAFKA": own.kafka, "CQL": f"{HOST}:9", "REPLICAS": "1", "TOPIC_PREFIX": own.prefix}
    job = process_of("clean", values | {"INTERNAL_PORT": str(free_port())}, folder / "clean")
    try:
        async with KafkaLog(own.kafka, own.topic, own.number) as log:
            yield log
    finally:
        job.kill()


async def append(log: KafkaLog, records: list[NewRecord]) -> list[str]:
    """Append, and return the ids."""
    ids = []
    for record in records:
        partition = partition_of(record.key.decode(), PARTITIONS)
        ids.append(comment_id(position_at(log.epoch, await log.append(partition, record)), partition))
    return ids


def set_up(folder: Path, own: OwnEpoch) -> None:
    """Put the files of infra/connect there, with this Kafka, names and port."""
    changes = {
        r"127\.0\.0\.1:9092": own.kafka,
        r"127\.0\.0\.1:8083": f"{HOST}:{free_port()}",
        r"=comments-clean-": f"={own.prefix}comments-clean-",
        r"name=clean": f"name={own.prefix}clean",
    }
    for file in ROOM.glob("*.properties"):
        text = file.read_text()
        for found, instead in changes.items():
            text = re.sub(found, instead, text)
        (folder / file.name).write_text(text)


def gathered() -> Path:
    """The folder of the jars; Maven brings them, once."""
    jars = LIB_DIR / "connect"
    seal = jars / "pom.xml"
    with locked(LIB_DIR / "gather.lock"):
        if not seal.exists() or seal.read_bytes() != (ROOM / "pom.xml").read_bytes():
            copy = ("dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={jars}")
            subprocess.run(
                ["mvn", "-q", "-B", "-f", str(ROOM / "pom.xml"), *copy],
                check=True,
                timeout=MAVEN_TIMEOUT_S,
                stdin=subprocess.DEVNULL,
            )
            shutil.copy(ROOM / "pom.xml", seal)
    return jars
