"""Admission: what becomes of a stream request, decided once for both lanes. Pure.

The transport lane takes what can be served at once. Everything else, and so every refusal, is answered by the route, of
the same decision: who would be refused there must not be served here, or the other way round.
"""

from dataclasses import dataclass
from typing import Final, Protocol

from livecomments.following.partition import FollowedPartition
from livecomments.web.encodings import accepts_gzip
from livecomments_consumers.request import StreamRequest
from livecomments_consumers.sessions import SessionEndedRejected
from livecomments_consumers.wanted import Wanted, wanted
from livecomments_schemas.positions import Home, epoch_of

PARTITION_TIMEOUT_S: Final = 20.0
"""How long a first viewer waits for a partition to be taken on, before it is told to come back: well below the load
balancer's patience. Taking one on takes half a second; more where its broker is away."""


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve it now."""

    followed: FollowedPartition
    want: Wanted
    takes_gzip: bool


@dataclass(frozen=True, slots=True)
class ComeBack:
    """Answer 200 with a time to come back after, and end: what ails it may pass. `reason` is a fixed word."""

    reason: str


@dataclass(frozen=True, slots=True)
class Over:
    """Answer 204: the viewer has all there will ever be of the video."""


@dataclass(frozen=True, slots=True)
class NotYet:
    """Ask again when this partition has been taken on."""

    partition: int


@dataclass(frozen=True, slots=True)
class Ahead:
    """Ask the log whether it tells of this epoch, whose position the viewer has: another edge may have heard of it."""

    epoch: int


Admission = Serve | ComeBack | Over | NotYet | Ahead


class Desk(Protocol):
    """What admission asks of the edge."""

    def home(self, video_id: str) -> tuple[Home, FollowedPartition | None]:
        """Return the video's home, and what is followed of it: None while its partition is not followed."""

    def refusal(self, address: str) -> str | None:
        """Return why no viewer from this address is taken now, a fixed word; None if one is."""

    def is_revoked(self, session: bytes) -> bool:
        """Tell whether the session of this digest is known to have ended."""

    def is_over(self, followed: FollowedPartition, video_id: str, after: int | None) -> bool:
        """Tell whether the video is over, and everything of it lies up to `after`."""


def admit(request: StreamRequest, desk: Desk, *, is_known: bool = False) -> Admission:
    """Decide what becomes of a request. `is_known`: that the log tells of no epoch that is ahead of us.

    What is final is said first: a request that can never be served is not told to come back.

    Raises:
        CursorRejected, HistoryRejected, MissedRejected, ParameterRejected, TokenInUrlRejected, SessionEndedRejected:
            final; another try with the same request is refused again.
    """
    home, followed = desk.home(request.video_id)
    want = wanted(request.headers, request.query, home)
    if desk.is_revoked(want.session):
        raise SessionEndedRejected
    refusal = desk.refusal(request.address)
    if refusal is not None:
        return ComeBack(refusal)
    if not is_known and want.after is not None and epoch_of(want.after) > home.epoch:
        return Ahead(epoch_of(want.after))
    if followed is None:
        return NotYet(home.partition)
    if desk.is_over(followed, request.video_id, want.after):
        return Over()
    return Serve(followed, want, accepts_gzip(request.headers.get("accept-encoding", "")))
