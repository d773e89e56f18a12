"""The transport lane: a viewer's bytes written to its transport by the hub itself, the same bytes object to everybody.

A viewer here is this object, a `Viewer` and a transport: no task, no queue, no ASGI. While its transport is full it
simply stays where it is; when it takes bytes again it goes on from its position.

Why there is no loop: to go on is to ask for a turn, and a turn takes one step. A viewer with a thousand blocks to catch
up with would otherwise hold the event loop until its socket is full, and a crowd of them, the thundering herd after an
edge has died, for seconds. So each step ends in one of three ways: the lane asks for its next turn; it waits for what
others do (the feed, the clock, its transport, a read); or it stands in a cohort, where it takes no step at all.
"""

import asyncio
from collections.abc import Awaitable, Callable
from enum import Enum
from functools import cache, partial
from typing import cast

from livecomments.web.cors import Headers
from livecomments.web.raw import STATUS_LINES, date_line
from livecomments_consumers.admission import Serve
from livecomments_consumers.asgi_lane import GZIP_HEADERS, STREAM_HEADERS
from livecomments_consumers.block import Block
from livecomments_consumers.direct import NOT_DIRECT, descriptor, is_clear, write, write_rest
from livecomments_consumers.hub import Hub
from livecomments_consumers.joining import beginning, place, place_at_once
from livecomments_consumers.request import StreamRequest
from livecomments_consumers.viewer import Close, Fetch, Say, Wait, Write
from livecomments_consumers.wanted import Wanted
from livecomments_consumers.wire import LAST_CHUNK, Form, formed, opening

_ReadStep = Callable[[], Awaitable[Write | Say | Close | None]]


@cache
def _head(form: Form, more: Headers) -> bytes:
    """Return the answer's head after its date. Cached: `more` has as many values as there are allowed origins."""
    headers = GZIP_HEADERS if form.is_gzip else STREAM_HEADERS
    lines = [*(name + b": " + value for name, value in (*headers, *more))]
    return b"\r\n".join([*lines, b"transfer-encoding: chunked", b"connection: close", b"", b""])


class _LaneState(Enum):
    """What a lane is doing. Whether its transport takes bytes is apart from that: it may fill in each of them."""

    READING = "takes no step until something is read, or it has begun"
    QUEUED = "its turn is still to come"
    WAITING = "for its feed, the clock, or room in its transport; as in a cohort, whose writes pass it by"
    OVER = "nothing is written any more"


class TransportLane(asyncio.Protocol):
    """The protocol of a connection that is nothing but a stream any more, and a `Lane`.

    It begins with `connection_made`, as the protocol of its transport: what it writes may fill that.
    """

    __slots__ = (
        "_channel",
        "_end_reason",
        "_full_bytes",
        "_full_since",
        "_head",
        "_hub",
        "_owed",
        "_read_task",
        "_state",
        "_transport",
        "_want",
        "address",
        "fd",
        "form",
        "session",
        "viewer",
    )

    kind = "transport"

    def __init__(self, hub: Hub, asked: StreamRequest, admitted: Serve, cors: Headers) -> None:
        channel = hub.channel(asked.video_id, admitted.followed)
        form = Form.CHUNKED_GZIP if admitted.takes_gzip else Form.CHUNKED
        self.viewer = hub.make_viewer(channel)
        self.session = admitted.want.session
        self.address = asked.address
        self._hub = hub
        self._channel = channel
        self._want: Wanted | None = admitted.want
        self.form = form
        self._head = _head(form, cors)
        self._state = _LaneState.READING
        self._full_since: float | None = None
        """Since when the transport has waited for its viewer to take something."""
        self._full_bytes = 0
        self._owed: Block | None = None
        """The comments of which its transport still holds a part."""
        self._read_task: asyncio.Task[None] | None = None
        self._end_reason = "client"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Answer the request and go on from what it asks for."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are not derived from it
        self.fd = descriptor(self._transport)
        hub, want, self._want = self._hub, self._want, None
        assert want is not None
        hub.attach(self._channel, self)
        if self.fd != NOT_DIRECT:  # with TLS, 0 would be full while nothing waits
            self._transport.set_write_buffer_limits(high=0)  # full is: something waits that the kernel has not taken
        self._put(
            STATUS_LINES[200] + date_line() + self._head + opening(beginning(hub, self._channel, want), self.form)
        )
        if place_at_once(self._channel, self.viewer, want):
            self._greet()
        else:
            self._read(partial(place, hub, self._channel, self.viewer, want), self._greet)

    def take(self, block: Block, now: float) -> None:
        if self._full_since is not None or self._state in (_LaneState.READING, _LaneState.OVER):
            return
        if self.viewer.is_for(block):
            self._write(block, now)
            self._go_on()
        else:
            self.advance(now)

    def fall_back(self, block: Block, sent: int) -> None:
        try:
            write_rest(self._transport, block.form(self.form), sent)
            self._wrote(block)
            self._go_on()
        except Exception:
            self._hub.failed(self)

    def advance(self, now: float) -> None:
        if self._full_since is not None or self._state is not _LaneState.WAITING:
            return
        self._step_out()
        step = self.viewer.step(self._channel, now)
        if isinstance(step, Wait):
            if self.viewer.may_stand(self._channel) and is_clear(self._transport, self.fd):
                self._channel.cohorts.stand(self, self._channel)
            return
        if isinstance(step, Fetch):
            self._read(partial(self._hub.backfill.fetch, self._channel, self.viewer), self._go_on)
        else:
            self._do(step, now)
            self._go_on()

    def abort_if_stuck(self, before: float) -> None:
        if self._full_since is None:
            return
        left = self._transport.get_write_buffer_size()
        if left < self._full_bytes:
            self._note_full()
        elif self._full_since < before:
            self.abort("stuck")

    def abort(self, reason: str) -> None:
        self._settle()  # it never had them, and is counted as one that had them this late
        self._step_out()
        self._state = _LaneState.OVER
        self._end_reason = reason
        self._transport.abort()

    def pause_writing(self) -> None:
        self._note_full()

    def resume_writing(self) -> None:
        if self._state is not _LaneState.OVER:
            self._full_since = None
            self._settle()
            self._go_on()

    def data_received(self, data: bytes) -> None:
        """Ignore what the client sends after its request."""

    def eof_received(self) -> None:
        """End the stream, since the client has left. What it has not taken yet may still be sent; nothing is added."""
        self._end("client")

    def connection_lost(self, exc: Exception | None) -> None:
        self._step_out()
        self._state = _LaneState.OVER
        if self._read_task is not None:
            self._read_task.cancel()
        self._hub.detach(self._channel, self, self._end_reason)

    def _go_on(self) -> None:
        """Take the next step when it is this viewer's turn. One that takes no bytes goes on when it takes some."""
        if self._state is _LaneState.WAITING and self._full_since is None:
            self._state = _LaneState.QUEUED
            self._hub.turns.ask(self._take_turn)

    def _take_turn(self) -> None:
        if self._state is not _LaneState.QUEUED:
            return  # it is over
        self._state = _LaneState.WAITING
        try:
            self.advance(self._hub.now())
        except Exception:
            self._hub.failed(self)

    def _greet(self) -> None:
        """Say the first words, then go on with the stream."""
        if self._state is not _LaneState.OVER:
            self._state = _LaneState.WAITING
            self._do(self.viewer.greet(self._channel), self._hub.now())
            self._go_on()

    def _read(self, read_step: _ReadStep, then: Callable[[], None]) -> None:
        """Take no step until what is read has come; write it, and go on by `then`."""
        self._state = _LaneState.READING
        self._read_task = asyncio.get_running_loop().create_task(self._finish(read_step, then))

    async def _finish(self, read_step: _ReadStep, then: Callable[[], None]) -> None:
        try:
            step = await read_step()
            self._read_task = None
            if self._state is not _LaneState.OVER:
                self._state = _LaneState.WAITING
                if step is not None:
                    self._do(step, self._hub.now())
            then()
        except Exception:
            self._hub.failed(self)
        except BaseException:
            if self._state is not _LaneState.OVER:  # the read was ended, not by who left: nobody else goes on
                self._hub.failed(self)
            raise

    def _do(self, step: Write | Say | Close, now: float) -> None:
        if isinstance(step, Write):
            self._write(step.block, now)
        elif isinstance(step, Say):
            self._put(formed(step.frame, self.form))
            self.viewer.wrote(step.through, now)
        else:
            self._put(formed(step.frame, self.form) + LAST_CHUNK)
            self._transport.close()
            self._end(step.reason)

    def _write(self, block: Block, now: float) -> None:
        data = block.form(self.form)
        if not data:
            self.viewer.moved(block.through)
            return
        self._put(data)
        self.viewer.wrote(block.through, now)
        self._hub.metrics.wrote(block, self.form)
        self._wrote(block)

    def _wrote(self, block: Block) -> None:
        """Count comments as delivered now, or once the transport has none of them any more."""
        if block.comments:
            self._settle()
            self._owed = block
            if self._full_since is None:
                self._settle()

    def _settle(self) -> None:
        if self._owed is not None:
            self._hub.metrics.took(self._owed, self.viewer.came_at_ms)
            self._owed = None

    def _put(self, data: bytes) -> None:
        write(self._transport, self.fd, data, self._hub.write_to)

    def _step_out(self) -> None:
        self._channel.cohorts.step_out(self)

    def _end(self, reason: str) -> None:
        """End the lane while its transport closes; what that still holds has as long as any stuck viewer."""
        self._step_out()
        self._state = _LaneState.OVER
        self._end_reason = reason
        self._note_full()

    def _note_full(self) -> None:
        self._full_since = self._hub.now()
        self._full_bytes = self._transport.get_write_buffer_size()
