"""The bodies of compressed batches, unpacked within a bound.

aiokafka unpacks a batch whole, whatever comes of it: 100 KB of zstd can be 800 MB, and a broker looks into a batch only
where its topic is `uncompressed`. No batch of ours comes near the bound, so one beyond it is a foreign producer's.
"""

import gzip
from collections.abc import Callable
from io import BytesIO
from types import ModuleType
from typing import Any, Final

import cramjam  # aiokafka's snappy, lz4 and zstd, which it goes without in silence: no process of ours does
from aiokafka.codec import snappy_decode
from aiokafka.record import default_records, legacy_records

UNPACKED_BYTES_MAX: Final = 8 * 1_024 * 1_024
"""Of one batch: 64 times our own largest, 8 times what a topic of ours takes packed. With each of 64 partitions in the
middle of one such batch these are 512 MiB, for as long as it takes to read them."""
_FIRST_TRY_BYTES: Final = 64 * 1_024
_PACKED_TO: Final = 8
"""Text of comments is packed to an eighth at best; more is tried for next."""
_BUFFER_FULL: Final = "failed to write whole buffer"
"""What cramjam says of a body that is larger than its buffer, and of nothing else (tests/kafka/test_decoding.py)."""
_XERIAL_MARK: Final = b"\x82SNAPPY\x00"
_SNAPPY_EXPANDS: Final = 32
"""A copy of three bytes makes 64, so a body that is said to be larger is none."""


class UnpackedTooLarge(Exception):
    """A batch is larger than UNPACKED_BYTES_MAX. Whoever wrote it is to blame, and every reader says the same of it."""

    def __init__(self) -> None:
        super().__init__(f"it is larger than {UNPACKED_BYTES_MAX} bytes when unpacked")


def bound_unpacking() -> None:
    """Let aiokafka unpack batches of any process's consumer by what is here. May be called twice."""
    for module in _modules_that_unpack():
        for name, decode in _DECODERS.items():
            if hasattr(module, name):
                setattr(module, name, decode)


def _modules_that_unpack() -> list[ModuleType]:
    """Return aiokafka's modules of batches: those in Python, and those that are compiled, where there are any."""
    found: list[ModuleType] = [default_records, legacy_records]
    try:
        from aiokafka.record import _crecords
    except ImportError:
        return found
    return [*found, _crecords.default_records, _crecords.legacy_records]


def _gzip(payload: Any) -> bytes:
    with gzip.GzipFile(fileobj=BytesIO(payload), mode="r") as packed:
        unpacked = packed.read(UNPACKED_BYTES_MAX + 1)
    if len(unpacked) > UNPACKED_BYTES_MAX:
        raise UnpackedTooLarge
    return unpacked


def _snappy(payload: Any) -> bytes:
    """Unpack what says its size: each block of the framed form does, and what has no frame; they are added up first."""
    packed = memoryview(payload)
    sizes, at = 0, 16
    if bytes(packed[: len(_XERIAL_MARK)]) != _XERIAL_MARK:
        sizes = _snappy_size(packed)
    else:
        while at < len(packed):
            following = at + 4 + int.from_bytes(packed[at : at + 4])
            sizes += _snappy_size(packed[at + 4 : following])
            at = following
    if sizes > UNPACKED_BYTES_MAX:
        raise UnpackedTooLarge
    unpacked: bytes = snappy_decode(payload)
    return unpacked


def _snappy_size(block: memoryview) -> int:
    size: int = cramjam.snappy.decompress_raw_len(block)
    if size > len(block) * _SNAPPY_EXPANDS:
        raise ValueError(f"a snappy block of {len(block)} bytes cannot hold {size}")
    return size


def _into_buffer(unpack_into: Callable[[Any, Any], int]) -> Callable[[Any], bytes]:
    def unpack(payload: Any) -> bytes:
        size = min(max(_FIRST_TRY_BYTES, len(payload) * _PACKED_TO), UNPACKED_BYTES_MAX)
        while True:
            buffer = bytearray(size)
            try:
                length = unpack_into(payload, buffer)
            except cramjam.DecompressionError as error:
                if _BUFFER_FULL not in str(error):
                    raise
                if size == UNPACKED_BYTES_MAX:
                    raise UnpackedTooLarge from error
                size = min(size * _PACKED_TO, UNPACKED_BYTES_MAX)
            else:
                return bytes(memoryview(buffer)[:length])

    return unpack


_DECODERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "gzip_decode": _gzip,
    "snappy_decode": _snappy,
    "lz4_decode": _into_buffer(cramjam.lz4.decompress_into),
    "zstd_decode": _into_buffer(cramjam.zstd.decompress_into),
}
