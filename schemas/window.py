"""What a reader remembers of the newest W records of one partition, so that `judge` can tell duplicates and voids.

A keyed comment takes one slot of a ring, 56 bytes: the hash of (video, author, key), its own offset, its survivor's
offset, the survivor's digest, and a link to the slot before it with the same bucket. Links only ever lead to older
slots, so a chain ends where the ring has been overwritten or the window is left: nothing is ever removed. The ring
doubles while the oldest slot is still inside the window, up to W slots.
"""

import hashlib
from array import array
from collections import deque
from typing import Final, NamedTuple

from schemas.events import DIGEST_BYTES
from schemas.limits import DEDUPE_WINDOW_RECORDS

_SLOTS_MIN: Final = 64


class Occurrence(NamedTuple):
    """The comment that survives of those with one (video, author, key)."""

    survivor: int
    """Its offset."""
    digest: bytes
    void: bool
    """The survivor was itself refused: its video had ended."""


class Window:
    """The newest `size` records of a partition, as `judge` needs them. Grows only with keyed comments.

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
        self._since = since
        self._whole = whole
        self._ended: dict[str, int] = {}
        self._states: deque[tuple[int, str]] = deque()
        self._next = 0
        self._allocate(_SLOTS_MIN)

    def occurrence(self, video_id: str, author: bytes, key: bytes, offset: int) -> Occurrence | None:
        """The survivor of the newest record with this key among those up to W before `offset`, or None."""
        slot = self._find(_hash(video_id, author, key), offset)
        if slot is None:
            return None
        at = slot * DIGEST_BYTES
        survivor = self._survivors[slot]
        return Occurrence(survivor >> 1, bytes(self._digests[at : at + DIGEST_BYTES]), bool(survivor & 1))

    def is_sure(self, survivor: int) -> bool:
        """Whether everything that could precede this survivor has been read too, so that it is the first."""
        return self._whole or survivor - self.size >= self._since

    def note_comment(self, video_id: str, author: bytes, key: bytes, offset: int, survives: Occurrence) -> None:
        """Remember a keyed comment at `offset`, dropped or not. Offsets come in ascending order."""
        self._make_room(offset)
        hashed = _hash(video_id, author, key)
        slot, bucket = self._next & self._mask, hashed & self._mask
        self._hashes[slot] = hashed
        self._offsets[slot] = offset
        self._survivors[slot] = survives.survivor << 1 | survives.void
        self._digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] = survives.digest
        self._older[slot] = self._heads[bucket]
        self._next += 1
        self._heads[bucket] = self._next

    def note_video(self, video_id: str, offset: int, *, ended: bool) -> None:
        """Remember that a video started or ended at `offset`."""
        while self._states and self._states[0][0] < offset - self.size:
            old, of_video = self._states.popleft()
            if self._ended.get(of_video, -1) >> 1 == old:
                del self._ended[of_video]
        self._ended[video_id] = offset << 1 | ended
        self._states.append((offset, video_id))

    def is_ended(self, video_id: str, offset: int) -> bool:
        """Whether the video's last start or end among the W records before `offset` is an end."""
        state = self._ended.get(video_id)
        return state is not None and bool(state & 1) and state >> 1 >= offset - self.size

    def _find(self, hashed: int, offset: int) -> int | None:
        oldest = max(0, self._next - self._mask - 1)
        link = self._heads[hashed & self._mask]
        while link > oldest:
            slot = (link - 1) & self._mask
            if self._offsets[slot] < offset - self.size:
                return None
            if self._hashes[slot] == hashed:
                return slot
            link = self._older[slot]
        return None

    def _make_room(self, offset: int) -> None:
        slots = self._mask + 1
        if self._next < slots or slots >= self.size:
            return
        if self._offsets[self._next & self._mask] <= offset - self.size:
            return  # the slot about to be overwritten has left the window
        hashes, offsets, survivors, digests = self._hashes, self._offsets, self._survivors, self._digests
        first, end, mask = self._next - slots, self._next, self._mask
        self._allocate(slots * 2)
        self._next = first
        for number in range(first, end):
            old, slot = number & mask, number & self._mask
            bucket = hashes[old] & self._mask
            self._hashes[slot], self._offsets[slot] = hashes[old], offsets[old]
            self._survivors[slot] = survivors[old]
            self._digests[slot * DIGEST_BYTES : (slot + 1) * DIGEST_BYTES] = digests[
                old * DIGEST_BYTES : (old + 1) * DIGEST_BYTES
            ]
            self._older[slot] = self._heads[bucket]
            self._next = number + 1
            self._heads[bucket] = self._next

    def _allocate(self, slots: int) -> None:
        self._mask = slots - 1
        self._hashes = array("Q", bytes(8 * slots))
        self._offsets = array("Q", bytes(8 * slots))
        self._survivors = array("Q", bytes(8 * slots))
        self._digests = bytearray(DIGEST_BYTES * slots)
        self._older = array("Q", bytes(8 * slots))  # number + 1 of the slot before with this bucket; 0 is none
        self._heads = array("Q", bytes(8 * slots))  # number + 1 of the newest slot of each bucket; 0 is none


def _hash(video_id: str, author: bytes, key: bytes) -> int:
    whole = b"%d\0%d\0" % (len(author), len(key)) + author + key + video_id.encode("ascii")
    return int.from_bytes(hashlib.blake2b(whole, digest_size=8).digest(), "little")
