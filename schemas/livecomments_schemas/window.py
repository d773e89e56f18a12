"""What a reader remembers of the newest W records of one partition, so that `judge` can tell duplicates and voids.

A keyed comment takes one slot of a ring, 56 bytes: the hash of (video, author, key), its own offset, its survivor's
offset and digest, a link to the slot before it with the same bucket, and the head of a bucket. Links only ever lead to
older slots, so a chain ends where the ring has been overwritten or the window is left: nothing is ever removed. The
ring doubles while its oldest slot is still inside the window, until it has W slots.
"""

import secrets
from array import array
from collections import deque
from hashlib import blake2s
from struct import Struct
from typing import Final, NamedTuple

from livecomments_schemas.events import DIGEST_BYTES
from livecomments_schemas.limits import DEDUPE_WINDOW_RECORDS

_SLOTS_MIN: Final = 64
_SLOT: Final = Struct(f"=QQQQ{DIGEST_BYTES}s")
"""Hash, offset, survivor's offset << 1 | void, link, digest. A link is a slot's number + 1; 0 is none."""
_HASH: Final = Struct("<Q24x").unpack
_LENGTHS: Final = [b"\0%c" % length for length in range(256)]
"""What stands before a key, by its length: joining takes less than half of what formatting takes."""
_SPREAD: Final = secrets.randbits(64) | 1
"""Multiplies a hash before its bucket is taken, so that nobody can choose keys that all share one chain and make every
lookup walk it. It decides where an entry stands, never what a record is."""


class Occurrence(NamedTuple):
    """The comment that survives of those with one (video, author, key)."""

    survivor: int
    """Its offset."""
    digest: bytes
    void: bool
    """The survivor was itself refused: its video had ended."""


class Window:
    """The newest `size` records of a partition, as `judge` needs them. Grows only with keyed comments and ended videos.

    `since` is the offset of the first record the reader read; `whole` says that the log began there, so that nothing
    before it can matter.
    """

    def __init__(
        self,
        epoch: int,
        partition: int,
        partition_count: int,
        *,
        since: int,
        whole: bool,
        size: int = DEDUPE_WINDOW_RECORDS,
    ) -> None:
        self.epoch = epoch
        self.partition = partition
        self.partition_count = partition_count
        self.size = size
        self.fence: int | None = None
        """The offset at which the epoch ends here; None as long as it goes on."""
        self._since = since
        self._whole = whole
        self._ended: dict[str, int] = {}
        self._ends: deque[tuple[int, str]] = deque()
        self._allocate(_SLOTS_MIN)

    def _allocate(self, count: int) -> None:
        self._next = 0
        self._mask = count - 1
        self._slots = bytearray(_SLOT.size * count)
        self._heads = array("Q", bytes(8 * count))  # of each bucket, the link to its newest slot

    def occurrence(self, video_id: str, author: bytes, key: bytes, offset: int) -> Occurrence | None:
        """Find the survivor of the newest record with this key among those up to W before `offset`, or None."""
        return self._find(_hash(video_id, author, key), offset)

    def is_sure(self, survivor: int) -> bool:
        """Tell whether everything that could precede this survivor has been read too, so that it is the first."""
        return self._whole or survivor - self.size >= self._since

    def note_comment(self, video_id: str, author: bytes, key: bytes, offset: int, digest: bytes) -> Occurrence | None:
        """Remember a keyed comment at `offset`; returns its survivor, or None when it is none's duplicate.

        Offsets come in ascending order. A duplicate is remembered like any other, since its own retry may come when its
        survivor has left the window.
        """
        hashed = _hash(video_id, author, key)
        before = self._find(hashed, offset)
        if self._next > self._mask and self._mask + 1 < self.size:
            self._make_room(offset)
        if before is None:
            self._put(hashed, offset, offset << 1 | self.is_ended(video_id, offset), digest)
        else:
            self._put(hashed, offset, before.survivor << 1 | before.void, before.digest)
        return before

    def note_video(self, video_id: str, offset: int, *, ended: bool) -> None:
        """Remember that a video started or ended at `offset`. Only ends are kept: a start undoes them."""
        while self._ends and self._ends[0][0] < offset - self.size:
            old, of_video = self._ends.popleft()
            if self._ended.get(of_video) == old:
                del self._ended[of_video]
        if ended:
            self._ended[video_id] = offset
            self._ends.append((offset, video_id))
        else:
            self._ended.pop(video_id, None)

    def is_ended(self, video_id: str, offset: int) -> bool:
        """Tell whether the video's last start or end among the W records before `offset` is an end."""
        if not self._ended:
            return False
        ended = self._ended.get(video_id)
        return ended is not None and ended >= offset - self.size

    def _find(self, hashed: int, offset: int) -> Occurrence | None:
        mask, slots = self._mask, self._slots
        oldest = max(0, self._next - mask - 1)
        link = self._heads[hashed * _SPREAD >> 48 & mask]
        while link > oldest:
            of_slot, at, survivor, link, digest = _SLOT.unpack_from(slots, (link - 1 & mask) * _SLOT.size)
            if at < offset - self.size:
                return None
            if of_slot == hashed:
                return Occurrence(survivor >> 1, digest, bool(survivor & 1))
        return None

    def _put(self, hashed: int, offset: int, survivor: int, digest: bytes) -> None:
        number, mask = self._next, self._mask
        bucket = hashed * _SPREAD >> 48 & mask
        at = (number & mask) * _SLOT.size
        _SLOT.pack_into(self._slots, at, hashed, offset, survivor, self._heads[bucket], digest)
        self._heads[bucket] = self._next = number + 1

    def _make_room(self, offset: int) -> None:
        """Double the ring if the slot to be overwritten next is still inside the window."""
        count, first, ring = self._mask + 1, self._next & self._mask, self._slots
        if _SLOT.unpack_from(ring, first * _SLOT.size)[1] <= offset - self.size:
            return
        self._allocate(count * 2)
        for number in range(first, first + count):
            hashed, at, survivor, _, digest = _SLOT.unpack_from(ring, (number & count - 1) * _SLOT.size)
            self._put(hashed, at, survivor, digest)


def _hash(video_id: str, author: bytes, key: bytes) -> int:
    # The same in every process, so that even a collision (one in 10^15 keyed comments) is judged alike by everybody.
    # Unambiguous: no video id holds a NUL, and a key has at most 128 bytes, so its length fits one.
    whole = video_id.encode() + _LENGTHS[len(key)] + key + author
    hashed: int = _HASH(blake2s(whole).digest())[0]
    return hashed
