"""What the CQL store does beside the contract: its writes' times, its batches, and a server that is away."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from livecomments.cql.session import Bound, checked_keyspace, libev_connection, open_session, parse_contact_points
from livecomments.cql.store import BATCH_BYTES_MAX, BATCH_ROWS_MAX, CqlStore, batches
from livecomments.store.interface import Row, StoreUnavailable
from livecomments_schemas.errors import StartRefused
from tests.store.examples import BUCKET, DATACENTER, END, START, comment, delete, new_partition, new_video, run_cql
from tests.store.line import Line

TIMEOUT_S = 1.0
AWAY_WITHIN_S = 10.0
"""An outage is told within this: a timeout, and what an overloaded test machine adds."""
BACK_WITHIN_S = 30.0
POLL_S = 0.1


@pytest.fixture
async def store(cql_address: str, cql_keyspace: str) -> AsyncIterator[CqlStore]:
    async with CqlStore(cql_address, keyspace=cql_keyspace, datacenter=DATACENTER) as store:
        yield store


@pytest.fixture
async def line(cql_address: str) -> AsyncIterator[Line]:
    async with Line(cql_address) as line:
        yield line


@pytest.fixture
async def far_store(line: Line, cql_keyspace: str) -> AsyncIterator[CqlStore]:
    """A store that reaches its server over `line`."""
    async with CqlStore(
        line.address, keyspace=cql_keyspace, datacenter=DATACENTER, request_timeout_s=TIMEOUT_S
    ) as store:
        yield store


async def test_every_write_is_timed_by_the_position_of_its_record(
    store: CqlStore, cql_address: str, cql_keyspace: str
) -> None:
    video, partition = new_video(), new_partition()
    gone = delete(video, START + 7, START + 3)
    await store.write([comment(video, START + 2), gone, comment(video, START + 3)])
    await store.advance_watermark(1, partition, START + 7)
    times = run_cql(
        cql_address,
        "SELECT position, writetime(kind), writetime(value), writetime(deleted), value "
        f"FROM {cql_keyspace}.records_by_video WHERE video_id = '{video}' AND bucket = {START // BUCKET}",
    )
    assert times == [
        (START + 7, START + 7, START + 7, None, gone.value),
        (START + 3, START + 3, START + 7, START + 7, b""),
        (START + 2, START + 2, START + 2, None, comment(video, START + 2).value),
    ]
    (watermark,) = run_cql(
        cql_address,
        f"SELECT writetime(position) FROM {cql_keyspace}.watermarks WHERE epoch = 1 AND log_partition = {partition}",
    )
    assert watermark == (START + 7,)


async def test_a_bucket_is_indexed_once_and_read_only_where_a_range_begins_or_the_index_says(
    store: CqlStore, cql_address: str, cql_keyspace: str
) -> None:
    video = new_video()
    await store.write([comment(video, START)])
    run_cql(
        cql_address, f"DELETE FROM {cql_keyspace}.buckets_by_video USING TIMESTAMP {START} WHERE video_id = '{video}'"
    )
    await store.write([comment(video, START + 1), comment(video, START + BUCKET)])
    found = await store.read(video, START - 1, END, 10, descending=True)
    assert [row.position for row in found.rows] == [START + BUCKET]
    found = await store.read(video, START - 1, END, 10, descending=False)
    assert [row.position for row in found.rows] == [START, START + 1, START + BUCKET]


async def test_an_answer_of_several_pages_is_one_answer(cql_address: str, cql_keyspace: str, store: CqlStore) -> None:
    video = new_video()
    await store.write([comment(video, START + offset) for offset in range(10)])
    session = await open_session(cql_address, DATACENTER, request_timeout_s=TIMEOUT_S)
    try:
        select = await session.prepare(
            f"SELECT position FROM {cql_keyspace}.records_by_video WHERE video_id = ? AND bucket = ? LIMIT 8"
        )
        select.fetch_size = 3
        found = await session.execute(select, (video, START // BUCKET))
    finally:
        await session.aclose()
    assert [position - START for (position,) in found] == [9, 8, 7, 6, 5, 4, 3, 2]


async def test_many_writes_and_reads_at_once_are_all_answered(store: CqlStore) -> None:
    videos = [new_video() for _ in range(100)]
    await asyncio.gather(*(store.write([comment(video, START)]) for video in videos))
    found = await asyncio.gather(*(store.read(video, START - 1, END, 5, descending=True) for video in videos))
    assert [slice_.rows for slice_ in found] == [[comment(video, START)] for video in videos]


async def test_a_closed_store_may_be_closed_again(cql_address: str, cql_keyspace: str) -> None:
    store = CqlStore(cql_address, keyspace=cql_keyspace, datacenter=DATACENTER)
    async with store:
        pass
    await store.aclose()


async def test_a_port_where_nobody_listens_is_an_unavailable_store() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await CqlStore(address, keyspace="any", datacenter=DATACENTER).__aenter__()
        assert time.monotonic() - begun < AWAY_WITHIN_S


async def test_names_that_have_no_address_by_now_are_an_unavailable_store() -> None:
    """As a service has none in Kubernetes while no node of the store is ready. Of this name nobody is asked."""
    with pytest.raises(StoreUnavailable, match="UnresolvableContactPoints"):
        await CqlStore("[:]:9042", keyspace="any", datacenter=DATACENTER).__aenter__()


async def test_a_server_that_falls_silent_is_an_unavailable_store(line: Line, far_store: CqlStore) -> None:
    rows = [comment(new_video(), START) for _ in range(200)]
    line.freeze()
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable):
        await far_store.write(rows)
    with pytest.raises(StoreUnavailable):
        await far_store.read(rows[0].video_id, START - 1, END, 5, descending=True)
    with pytest.raises(StoreUnavailable):
        await far_store.watermark(1, 0)
    assert time.monotonic() - begun < AWAY_WITHIN_S


async def test_a_store_that_was_cut_off_works_again_by_itself(line: Line, far_store: CqlStore) -> None:
    row = comment(new_video(), START)
    line.cut()
    with pytest.raises(StoreUnavailable):
        await far_store.write([row])
    line.mend()
    async with asyncio.timeout(BACK_WITHIN_S):
        await _write_in_the_end(far_store, row)
    assert await far_store.read_one(row.video_id, START) == row


async def test_a_data_centre_that_does_not_exist_is_refused_by_name(cql_address: str) -> None:
    with pytest.raises(StartRefused, match=f"no data centre 'mars', only {DATACENTER}"):
        await CqlStore(cql_address, keyspace="any", datacenter="mars").__aenter__()


def test_the_driver_runs_on_libev() -> None:
    assert libev_connection().__name__ == "LibevConnection"


def test_a_driver_without_libev_is_refused() -> None:
    without = (
        "import sys; sys.modules['cassandra.io.libevwrapper'] = None\n"
        "from livecomments.cql.session import libev_connection\n"
        "try: libev_connection()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("StartRefused scylla-driver was built without libev")


def test_contact_points_are_hosts_and_one_port() -> None:
    assert parse_contact_points("a.example:9142, 10.0.0.1:9142,[::1]:9142") == (["a.example", "10.0.0.1", "::1"], 9142)
    assert parse_contact_points("scylla") == (["scylla"], 9042)
    assert parse_contact_points("db_1.example.:65535") == (["db_1.example."], 65_535)


@pytest.mark.parametrize(
    "text", ["", "a,,b", "::1:9042", "a:port", "a:1,b:2", "a b", "a:0", "a:65536", "a..b", "a" * 64]
)
def test_other_contact_points_are_refused(text: str) -> None:
    with pytest.raises(StartRefused, match="LIVECOMMENTS_CQL"):
        parse_contact_points(text)


@pytest.mark.parametrize("name", ["", "Comments", "1st", 'a"; DROP', "a-b", "a" * 49])
def test_a_keyspace_that_would_need_quotes_is_refused(name: str) -> None:
    with pytest.raises(StartRefused, match="LIVECOMMENTS_CQL_KEYSPACE"):
        checked_keyspace(name)


def test_batches_hold_rows_in_order_and_within_their_bounds() -> None:
    sizes = [10] * 250 + [20_000] * 7 + [BATCH_BYTES_MAX + 1, 10, 0]
    bounds = [Bound(None, (index,), size) for index, size in enumerate(sizes)]
    cut = [list(batch) for batch in batches(bounds)]
    assert [bound for batch in cut for bound in batch] == bounds
    assert [len(batch) for batch in cut[:2]] == [BATCH_ROWS_MAX, BATCH_ROWS_MAX]
    assert all(len(batch) <= BATCH_ROWS_MAX for batch in cut)
    assert all(len(batch) == 1 or sum(bound.value_bytes for bound in batch) <= BATCH_BYTES_MAX for batch in cut)
    assert [len(batch) for batch in cut[2:]] == [52, 3, 2, 1, 2]


async def _write_in_the_end(store: CqlStore, row: Row) -> None:
    while True:
        try:
            await store.write([row])
            return
        except StoreUnavailable:
            await asyncio.sleep(POLL_S)
