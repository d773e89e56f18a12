"""A strict Server-Sent Events parser, in two halves: bytes to blocks, a block to an event.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation

The halves are apart because all viewers of a video get the same blocks: whoever reads many streams parses each distinct
block once and remembers what it was. A block stands for itself, except that an event without an id keeps the last one.
"""

from typing import Final, NamedTuple

_BOM: Final = b"\xef\xbb\xbf"

BLOCK_BYTES_MAX: Final = 1 << 20
"""An unfinished block; a comment is at most some 20 KB, so a longer one means a lost line end."""


class StreamMalformed(ValueError):
    """Bytes that no event stream holds."""


class SseEvent(NamedTuple):
    """One block. `id` None: the block sets none. `data` None: nothing is dispatched, but `id` and `retry_ms` count."""

    kind: bytes
    id: bytes | None
    data: bytes | None
    retry_ms: int | None


class SseBlocks:
    """Cuts one response's bytes into blocks, however the network has cut them before."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False
        self._begun = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the blocks that `data` completes, without their ends, lines ended by LF only; empty ones left out.

        Raises:
            StreamMalformed: a block beyond `BLOCK_BYTES_MAX`.
        """
        if not self._begun:
            data = self._rest + data
            self._rest = b""
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._rest = data
                return []
            self._begun = True
            data = data.removeprefix(_BOM)
        if self._after_cr or b"\r" in data:
            data = self._with_lf_only(data)
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        if len(self._rest) > BLOCK_BYTES_MAX:
            raise StreamMalformed(f"an event of more than {BLOCK_BYTES_MAX} bytes")
        return [block for block in blocks if block.strip(b"\n")]

    def feed_eof(self) -> int | None:
        """End the stream: discard an unfinished event, but return the ms of a complete `retry:` line in it, if any."""
        lines, _, _ = self._rest.rpartition(b"\n")
        self._rest = b""
        return parse_block(lines).retry_ms

    def is_mid_event(self) -> bool:
        """Tell whether some bytes of an unfinished event have been fed."""
        return bool(self._rest.strip(b"\n"))

    def _with_lf_only(self, data: bytes) -> bytes:
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def parse_block(block: bytes) -> SseEvent:
    """Parse one block, whose lines are ended by LF; the last one's end may be missing."""
    kind, event_id, retry_ms = b"", None, None
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value:
            event_id = value
        elif name == b"retry" and value.isdigit():
            retry_ms = int(value)
    return SseEvent(kind or b"message", event_id, b"\n".join(data) if data else None, retry_ms)
