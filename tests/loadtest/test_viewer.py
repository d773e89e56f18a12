"""One viewer against a scripted peer: how it comes in, what it does when a stream ends, and how it comes back."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import uvloop

from livecomments_loadtest.calls import Caller
from livecomments_loadtest.client import Pool, origin_of
from livecomments_loadtest.ledger import Complaints, VideoLedger
from livecomments_loadtest.schedule import Mode, ViewerScript
from livecomments_loadtest.viewer import LoadViewer

TIMEOUT_S = 10.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"


def mark(n: int) -> bytes:
    return b'event: heartbeat\nid: %016d\ndata: {"everyMs":15000}\n\n' % n


class Peer:
    """Answers one connection after the other with the next of `answers`, as soon as it is there, and closes it."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[bytes] = []
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(TIMEOUT_S)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        with self._listening:
            for answer in self._answers:
                connection, _ = self._listening.accept()
                with connection:
                    connection.settimeout(TIMEOUT_S)
                    connection.sendall(answer)
                    self.requests.append(connection.recv(4096))


@contextmanager
def running(peer: Peer) -> Iterator[None]:
    thread = threading.Thread(target=peer.serve)
    thread.start()
    yield
    thread.join(TIMEOUT_S)


class Watched:
    """What came of a viewer that watched until its peer had given all its answers."""

    def __init__(self, peer: Peer, mode: Mode = Mode.LIVE) -> None:
        self.peer, self.mode = peer, mode
        self.video, self.tally, self.complaints = VideoLedger("v"), Counter[str](), Complaints()

    async def watch(self, until: Callable[["Watched"], bool]) -> None:
        pool = Pool(origin_of(self.peer.url), 2)
        script = ViewerScript(0, 0, 0.0, self.mode, 5, "seed")
        pages = Caller(pool, float("inf"))
        viewer = LoadViewer(script, self.video, pages, self.complaints, self.tally, asyncio.Event())
        task = asyncio.create_task(viewer.run(0.0, 0.0))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while not until(self):
                    await asyncio.wait((task,), timeout=0.01)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            pool.close()

    @property
    def ids(self) -> list[int]:
        return [int(event.id) for event in self.video.events_of(self.video.traces[0])]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_comes_with_the_connection_itself_is_booked(run: Callable[..., None]) -> None:
    for _ in range(8):  # uvloop hands over data before or after it says that it is connected
        peer = Peer(HEAD + b"retry: 50\n\n" + mark(1), HEAD + mark(2))
        watched = Watched(peer)
        with running(peer):
            run(watched.watch(lambda by_now: by_now.ids == [1, 2] and len(by_now.peer.requests) == 2))
        assert watched.ids == [1, 2]
        assert b"last-event-id" not in peer.requests[0]
        assert b"\r\nlast-event-id: 0000000000000001\r\n" in peer.requests[1]


def test_a_refusal_that_may_pass_is_asked_again_and_a_final_one_is_a_complaint() -> None:
    peer = Peer(
        b"HTTP/1.1 503 x\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 404 x\r\ncontent-length: 0\r\n\r\n",
    )
    watched = Watched(peer)
    with running(peer):
        asyncio.run(watched.watch(lambda by_now: bool(list(by_now.complaints.lines()))))
    assert watched.tally["streams refused"] == 1
    assert list(watched.complaints.lines()) == ["stream answered with status 404"]


def test_a_bye_is_left_as_soon_as_its_retry_says_by_the_same_address() -> None:
    peer = Peer(HEAD + b"retry: 20\n\n" + mark(3) + b"event: bye\ndata: {}\n\n" + mark(4), HEAD + mark(5))
    watched = Watched(peer, Mode.HISTORY)
    with running(peer):
        asyncio.run(watched.watch(lambda by_now: 5 in by_now.ids))
    assert watched.tally["byes"] == 1
    assert peer.requests[0].startswith(b"GET /comments/v/stream?history=5 HTTP/1.1\r\n")
    assert peer.requests[1].startswith(b"GET /comments/v/stream?history=5 HTTP/1.1\r\n")
    assert b"\r\nlast-event-id: 0000000000000004\r\n" in peer.requests[1]


def test_an_event_that_breaks_the_contract_is_a_complaint_and_no_delivery() -> None:
    peer = Peer(HEAD + b"event: comment\nid: 7\ndata: {}\n\n" + mark(1))
    watched = Watched(peer)
    with running(peer):
        asyncio.run(watched.watch(lambda by_now: by_now.ids == [1]))
    assert list(watched.complaints.lines()) == ["comment event whose id is no comment id"]
