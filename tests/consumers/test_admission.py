"""What becomes of a request, and that both lanes ask the same."""

import itertools
from dataclasses import dataclass
from typing import Final

import pytest

from livecomments.following.partition import FollowedPartition
from livecomments.following.tail import Tail, TailBounds
from livecomments_consumers.admission import Admission, ComeBack, NotYet, Over, Serve, admit
from livecomments_consumers.request import StreamRequest
from livecomments_consumers.sessions import SessionEndedRejected, TokenInUrlRejected
from livecomments_consumers.settings import HubSettings
from livecomments_schemas.errors import ParameterRejected, Rejected
from livecomments_schemas.positions import CursorRejected, Home, comment_id, position_at
from livecomments_schemas.window import Window
from tests.consumers.edge import virtual_edge, virtually

BEARER: Final = {"authorization": "Bearer mine"}


@dataclass
class Known:
    """A desk with all that may be so."""

    followed: FollowedPartition | None
    full: str | None = None
    revoked: bool = False
    over: bool = False

    def home(self, video_id: str) -> tuple[Home, FollowedPartition | None]:
        return Home(1, 0, 1), self.followed

    def refusal(self, address: str) -> str | None:
        return self.full

    def is_revoked(self, session: bytes) -> bool:
        return bool(session) and self.revoked

    def is_over(self, followed: FollowedPartition, video_id: str, after: int | None) -> bool:
        return self.over and after is not None


FOLLOWED: Final = FollowedPartition(
    1, Window(1, 0, 1, since=0, whole=True, size=10), Tail(TailBounds(10, 1_000_000, 60.0), 0), 0
)
ID: Final = comment_id(position_at(1, 7), 0)


def outcome(desk: Known, query: tuple[tuple[str, str], ...] = (), headers: dict[str, str] | None = None) -> Admission:
    return admit(StreamRequest("v", list(query), headers or {}, "198.51.100.7"), desk)


def test_each_thing_that_may_be_so_has_its_answer() -> None:
    served = outcome(Known(FOLLOWED), (("after", ID),), {"accept-encoding": "gzip"})
    assert isinstance(served, Serve)
    assert (served.followed, served.want.after, served.takes_gzip) == (FOLLOWED, position_at(1, 7), True)
    assert outcome(Known(None)) == NotYet(0)
    assert outcome(Known(FOLLOWED, full="draining")) == ComeBack("draining")
    assert outcome(Known(FOLLOWED, over=True), (("after", ID),)) == Over()
    assert isinstance(outcome(Known(FOLLOWED, over=True)), Serve), "who has nothing yet is given it"
    with pytest.raises(SessionEndedRejected):
        outcome(Known(FOLLOWED, revoked=True), headers=BEARER)


EVERYTHING: Final = tuple(itertools.product((True, False), ("full", None), (False, True), (False, True)))
"""Followed or not, full or not, revoked or not, over or not."""


@pytest.mark.parametrize("known", EVERYTHING, ids=str)
def test_what_is_final_is_said_whatever_else_is_so(known: tuple[bool, str | None, bool, bool]) -> None:
    """Told to come back, a client would do so for ever."""
    is_followed, full, revoked, over = known
    desk = Known(FOLLOWED if is_followed else None, full, revoked, over)
    for query, error in (
        ((("token", "x"),), TokenInUrlRejected),
        ((("cursor", ID),), ParameterRejected),
        ((("after", "x"),), CursorRejected),
    ):
        with pytest.raises(error):
            outcome(desk, query, BEARER)
    if desk.revoked:
        with pytest.raises(SessionEndedRejected):
            outcome(desk, headers=BEARER)


REFUSED: Final = (
    "?cursor=1",
    f"?from={ID}",
    "?AFTER=1",
    "?after=x",
    "?missed=-1",
    "?history=x",
    "?token=t",
    "?lastId=3",
)


@pytest.mark.parametrize("query", REFUSED)
def test_what_one_lane_leaves_the_other_refuses(query: str) -> None:
    async def run() -> None:
        async with virtual_edge(HubSettings()) as edge:
            assert edge.connect(query=query) is None
            with pytest.raises(Rejected):
                await edge.respond(query=query)

    virtually(run)
