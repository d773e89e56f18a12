"""Members of cohorts in tests."""

from livecomments_consumers.block import Block
from livecomments_consumers.viewer import Viewer


class Stander:
    """A member without a transport."""

    kind = "transport"
    address = "198.51.100.7"
    session = b""

    def __init__(self, position: int = 11, expires_at: float = 1e9) -> None:
        self.viewer = Viewer(position, 0.0, 15.0)
        self.viewer.expires_at = expires_at
        self.fell: list[tuple[bytes, int]] = []

    def take(self, block: Block, now: float) -> None:
        raise AssertionError("a cohort's writes pass its members by")

    def advance(self, now: float) -> None:
        """It has nothing else to do."""

    def abort_if_stuck(self, before: float) -> None:
        """It never is."""

    def abort(self, reason: str) -> None:
        """Nothing is open."""

    def fall_back(self, data: bytes, sent: int) -> None:
        self.viewer.step_out()
        self.fell.append((data, sent))
