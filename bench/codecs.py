"""What each of Kafka's codecs saves of the real chat's bytes, and what it costs in CPU: `python -m bench.codecs`.

A batch is what a partition's appends join to while one before it is under way: one record where little is written, a
hundred where a video is hot. Whoever reads the topic unpacks all of it, every gateway and edge and the stream job; the
writer packs it once. Both are this process's own codecs, as aiokafka uses them.
"""

import time
from collections.abc import Callable
from typing import Final

from aiokafka import codec
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from livecomments_loadtest.chat import CHAT
from livecomments_loadtest.schedule import read_chat
from livecomments_schemas.events import Author, NewRecord, comment_created

BATCH_RECORDS: Final = (1, 10, 100, 400)
_HEAD_BYTES: Final = 61
"""Of a batch, before its records; never packed."""
_AT_LEAST_S: Final = 0.3
"""For each figure, of CPU."""
Pack = Callable[[bytes], bytes]

CODECS: Final[dict[str, tuple[int, Pack, Pack]]] = {
    "gzip": (DefaultRecordBatch.CODEC_GZIP, codec.gzip_encode, codec.gzip_decode),
    "snappy": (DefaultRecordBatch.CODEC_SNAPPY, codec.snappy_encode, codec.snappy_decode),
    "lz4": (DefaultRecordBatch.CODEC_LZ4, codec.lz4_encode, codec.lz4_decode),
    "zstd": (DefaultRecordBatch.CODEC_ZSTD, codec.zstd_encode, codec.zstd_decode),
}


def records() -> list[NewRecord]:
    """Return the chat as records of the gateway's: of one video, each with a time and an idempotency key."""
    return [
        comment_created(
            "watch-party.2026",
            line.message,
            Author(f"user-{line.author:08}", f"Viewer {line.author}"),
            created_at_ms=1_800_000_000_000 + at * 37,
            key=f"{at:08x}-4b1c-4c47-9f0d-{at * 7919:012x}",
        )
        for at, line in enumerate(read_chat(CHAT))
    ]


def batches(of: list[NewRecord], size: int) -> list[bytes]:
    """Compress the records of each batch, without its header; return the bytes."""
    found = []
    for start in range(0, len(of) - size + 1, size):
        builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=0,
            is_transactional=0,
            producer_id=1,
            producer_epoch=0,
            base_sequence=0,
            batch_size=1 << 20,
        )
        for at, (key, value, headers) in enumerate(of[start : start + size]):
            builder.append(at, timestamp=None, key=key, value=value, headers=list(headers.items()))
        found.append(bytes(builder.build())[_HEAD_BYTES:])
    return found


def cpu_us(call: Pack, batches: list[bytes], of_records: int) -> float:
    """Measure each record, over as many rounds as it takes to be sure."""
    rounds, began = 0, time.process_time()
    while (spent := time.process_time() - began) < _AT_LEAST_S:
        for one in batches:
            call(one)
        rounds += 1
    return spent * 1e6 / rounds / of_records


def main() -> None:
    """Print a Markdown table."""
    chat = records()
    print(f"{len(chat):,} records, {sum(map(len, batches(chat, 1))) / len(chat):.0f} bytes each\n")
    print("| records a batch | codec | of the bytes | pack, µs a record | unpack, µs a record |")
    print("| ---: | --- | ---: | ---: | ---: |")
    for size in BATCH_RECORDS:
        plain = batches(chat, size)[: max(8, 2_000 // size)]
        heads, bare, count = len(plain) * _HEAD_BYTES, sum(map(len, plain)), len(plain) * size
        for name, (_, pack, unpack) in CODECS.items():
            packed = [pack(one) for one in plain]
            share = (heads + sum(map(len, packed))) / (heads + bare)
            packing, unpacking = cpu_us(pack, plain, count), cpu_us(unpack, packed, count)
            print(f"| {size} | {name} | {share:.0%} | {packing:.2f} | {unpacking:.2f} |")


if __name__ == "__main__":
    main()
