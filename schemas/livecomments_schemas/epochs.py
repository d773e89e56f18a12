"""Which epochs there are, which one is open, and what each must be: a pure fold over the topic `livecomments-epochs`.

A record of that topic has the epoch's number in decimal as its key, and these headers and values:

| `type` | value |
|---|---|
| `epoch.opened` | `{"epoch", "partitions", "topicId", "replicas", "settings"}`: from now on it is written to |
| `epoch.ending` | `{"epoch", "ends", "next"?}`: fences are about to be written, none of them before these offsets |
| `epoch.closed` | `{"epoch", "reason", "fences"?}`: nothing is written there any more; where each partition ends |

The first valid record of a kind wins, for each epoch. So anyone may repeat any step, and of two who race both read who
won. Whatever else stands in the topic is passed over: later versions know more kinds, and others may write there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from livecomments_schemas.events import SCHEMA_VERSION, NewRecord, Record
from livecomments_schemas.positions import EPOCH_MAX, OFFSET_MAX, PARTITION_MAX

EPOCH_OPENED: Final = b"epoch.opened"
EPOCH_ENDING: Final = b"epoch.ending"
EPOCH_CLOSED: Final = b"epoch.closed"

_REPLICAS_MAX: Final = 1_000
_SETTINGS_MAX: Final = 100
_TEXT_CHARS_MAX: Final = 1_000
"""Of a name or a value: a record that says more was not written by us."""


@dataclass(frozen=True)
class Contract:
    """What an epoch's topic must be, for as long as the epoch is."""

    epoch: int
    partitions: int
    """Never that of the live topic: positions, ids and cursors name the partition."""
    topic_id: str
    """Kafka's id of the topic; empty where the log gives none."""
    replicas: int
    settings: Mapping[str, str] = field(default_factory=dict)
    """Kafka's names and values, of those that could cost acknowledged comments."""


@dataclass(frozen=True)
class Epoch:
    """One epoch, as far as the log tells of it."""

    contract: Contract
    opened_at_ms: int
    closed_at_ms: int | None = None
    reason: str = ""
    """Why it was closed."""
    ends: tuple[int, ...] = ()
    """Where the partitions ended before anybody wrote a fence; empty as long as nobody was about to."""
    following: Contract | None = None
    """What the next epoch is meant to be, told before the first fence so that it can be made ready for. What it is,
    the record that opens it says."""
    fences: tuple[int, ...] = ()
    """The offset of each partition's fence, where the epoch ended by fences. What lies behind one is void."""

    @property
    def number(self) -> int:
        return self.contract.epoch

    @property
    def is_closed(self) -> bool:
        """Whether nothing is written there any more."""
        return self.closed_at_ms is not None


@dataclass(frozen=True)
class Epochs:
    """All epochs that are told of, the oldest first. At most the newest is open."""

    known: tuple[Epoch, ...] = ()

    @property
    def newest(self) -> Epoch | None:
        """The one that is written to, unless it is closed; None before the first."""
        return self.known[-1] if self.known else None

    @property
    def counts(self) -> Mapping[int, int]:
        """The number of partitions of each epoch, by the epoch's number."""
        return {one.number: one.contract.partitions for one in self.known}

    def is_open(self, number: int) -> bool:
        """Tell whether this epoch is written to."""
        newest = self.newest
        return newest is not None and newest.number == number and not newest.is_closed

    def find(self, number: int) -> Epoch | None:
        """Return what is told of an epoch, if anything is."""
        return next((one for one in self.known if one.number == number), None)

    def is_fenced(self, number: int) -> bool:
        """Tell whether this epoch has ended by fences."""
        return any(one.number == number and one.fences for one in self.known)

    def after(self, record: Record) -> "Epochs":
        """Return the epochs once this record of the topic is read; the same ones if the record changes nothing."""
        kind, said = record.headers.get("type"), _said(record)
        if said is None or record.key != b"%d" % said["epoch"]:
            return self
        newest, number = self.newest, said["epoch"]
        if kind == EPOCH_OPENED:
            contract = _contract(said)
            if contract is None or not _follows(contract, newest):
                return self
            return Epochs((*self.known, Epoch(contract, record.appended_at_ms)))
        if kind == EPOCH_ENDING and newest is not None and self.is_open(number) and not newest.ends:
            ends: Any = said.get("ends")
            if _are_offsets(ends, newest.contract.partitions):
                ending = replace(newest, ends=tuple(ends), following=_following(said.get("next"), newest))
                return Epochs((*self.known[:-1], ending))
            return self
        reason, fences = said.get("reason"), said.get("fences", [])
        if kind != EPOCH_CLOSED or newest is None or not self.is_open(number) or not isinstance(reason, str):
            return self
        if fences != [] and not _are_offsets(fences, newest.contract.partitions):
            return self
        told = reason[:_TEXT_CHARS_MAX]
        closed = replace(newest, closed_at_ms=record.appended_at_ms, reason=told, fences=tuple(fences))
        return Epochs((*self.known[:-1], closed))


NO_EPOCHS: Final = Epochs()


def epoch_opened(contract: Contract) -> NewRecord:
    """Say that an epoch is open, and what it must be."""
    return _record(EPOCH_OPENED, contract.epoch, _members(contract))


def epoch_ending(number: int, ends: Sequence[int], following: Contract | None = None) -> NewRecord:
    """Say that an epoch is about to be ended by fences, where its partitions end before there are any, and what the
    next one is meant to be.
    """
    ahead = {} if following is None else {"next": _members(following)}
    return _record(EPOCH_ENDING, number, {"epoch": number, "ends": list(ends), **ahead})


def epoch_closed(number: int, reason: str, fences: Sequence[int] = ()) -> NewRecord:
    """Say that nothing is written to an epoch any more, and why; with `fences`, where each of its partitions ends."""
    said = {"epoch": number, "reason": reason}
    return _record(EPOCH_CLOSED, number, {**said, "fences": list(fences)} if fences else said)


def _members(contract: Contract) -> dict[str, Any]:
    return {
        "epoch": contract.epoch,
        "partitions": contract.partitions,
        "topicId": contract.topic_id,
        "replicas": contract.replicas,
        "settings": dict(contract.settings),
    }


def _record(kind: bytes, number: int, said: Mapping[str, Any]) -> NewRecord:
    return NewRecord(b"%d" % number, orjson.dumps(said), {"type": kind, "schema": SCHEMA_VERSION})


def _said(record: Record) -> dict[str, Any] | None:
    """Return what a record of ours says of an epoch; None if the record is not of that kind."""
    if record.value is None or record.headers.get("schema") != SCHEMA_VERSION:
        return None
    try:
        said = orjson.loads(record.value)
    except orjson.JSONDecodeError:
        return None
    return said if isinstance(said, dict) and _is_number(said.get("epoch"), 1, EPOCH_MAX) else None


def _contract(said: Mapping[str, Any]) -> Contract | None:
    partitions, topic_id = said.get("partitions"), said.get("topicId")
    replicas, settings = said.get("replicas"), said.get("settings")
    if not (_is_number(partitions, 1, PARTITION_MAX + 1) and _is_number(replicas, 1, _REPLICAS_MAX)):
        return None
    if not isinstance(settings, dict) or len(settings) > _SETTINGS_MAX:
        return None
    if not all(_is_text(one) for one in (topic_id, *settings, *settings.values())):
        return None
    return Contract(said["epoch"], partitions, topic_id, replicas, settings)  # type: ignore[arg-type]  # seen above


def _following(said: Any, ending: Epoch) -> Contract | None:
    """Return what is told ahead of the next epoch; None if nothing is, or not as it could be."""
    if not isinstance(said, dict) or not _is_number(said.get("epoch"), 1, EPOCH_MAX):
        return None
    contract = _contract(said)
    is_next = contract is not None and contract.epoch == ending.number + 1
    return contract if is_next else None


def _follows(contract: Contract, newest: Epoch | None) -> bool:
    """Tell whether an epoch may be opened now. One that grew out of another has a multiple of its partitions."""
    if newest is None:
        return True
    is_next = newest.is_closed and contract.epoch == newest.number + 1
    return is_next and not (newest.fences and contract.partitions % newest.contract.partitions)


def _are_offsets(said: Any, partitions: int) -> bool:
    """Tell whether it is an offset for each partition."""
    return isinstance(said, list) and len(said) == partitions and all(_is_number(one, 0, OFFSET_MAX) for one in said)


def _is_number(value: object, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT_CHARS_MAX
