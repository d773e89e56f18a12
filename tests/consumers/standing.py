"""Members of cohorts in tests, and a video for them that stands still."""

from dataclasses import dataclass, field

from livecomments_consumers.block import Block
from livecomments_consumers.cohort import Cohort
from livecomments_consumers.frames import heartbeat_frame
from livecomments_consumers.viewer import Viewer
from livecomments_consumers.wire import Form
from livecomments_schemas.positions import comment_id, first_position

START = first_position(1)


class Stander:
    """A member without a transport."""

    kind = "transport"
    address = "198.51.100.7"
    session = b""

    def __init__(self, position: int = 11, expires_at: float = 1e9, *, fd: int = 0, form: Form = Form.CHUNKED) -> None:
        self.fd = fd
        self.form = form
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

    def fall_back(self, block: Block, sent: int) -> None:
        self.fell.append((block.form(self.form), sent))


def cohort_of(member: Stander) -> Cohort:
    """Return the cohort that a member stands in."""
    cohort = member.viewer.place
    assert isinstance(cohort, Cohort)
    return cohort


@dataclass
class StillFeed:
    """A video as it stands."""

    head: int = START + 10
    newest: int = START + 10
    resets: int = 0
    reset_at: int = 0
    ended_at: int | None = None
    version: int = 0
    said_at: int = 0
    silent_s: float = 0.0
    blocks: dict[int, Block] = field(default_factory=dict)

    def block_after(self, position: int) -> Block | None:
        return self.blocks.get(position)

    def id_at(self, position: int) -> str:
        return comment_id(position, 3)

    def heartbeat(self, position: int) -> Block:
        return Block(position, position + 1, position, heartbeat_frame(comment_id(position, 3), 15_000), 0)

    def video(self, position: int) -> Block:
        return Block(position, position + 1, position, b"video %d" % self.version, 0)

    def greeting(self, position: int) -> Block:
        return Block(position, position + 1, position, b"beat video %d" % self.version, 0)

    def retry_ms(self) -> int:
        return 2_500

    def silence_s(self) -> float:
        return self.silent_s
