"""Who has sent much already has one turn a round of the loop, all of them together; others are served as if alone."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any, Final, cast

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from livecomments.web.bodies import ChunkedBody
from livecomments.web.door import Door, claim_nothing
from livecomments.web.line import EXIT_REST_S, WORK_REST_S, Line
from livecomments.web.server import DrainingServer
from tests.web.driven import ROUNDS_MAX, Wire, driven
from tests.web.echo import Echo

FLOODS: Final = {
    "requests behind each other": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 400,
    "a body in chunks of a byte": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * 4_000,
    "extensions": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;a=b;c\r\nx\r\n" * 4_000,
    "short bodies behind each other": b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    * 200,
}
ATTACKERS: Final = 64
TIMEOUT_S: Final = 10.0
"""For what must happen."""
ROUNDS_OBSERVED: Final = 50
EXTENSIONS_A_TURN_BYTES_MAX: Final = 4_096
CHUNKS_A_TURN_MAX: Final = 128
GOOD: Final = b"POST /good HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"


class CountedLine(Line):
    """Counts turns."""

    given = 0

    def _give(self) -> None:
        self.given += bool(self._waiting)
        super()._give()


class Crowd:
    """Connections of one server. At the end of the block all of them leave."""

    def __init__(self, rest_s: float = 0) -> None:
        self.echo, self.state = Echo(), ServerState()
        self.line, self.exits = CountedLine(rest_s), CountedLine(rest_s)

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        for door in list(self.state.connections):
            door.connection_lost(None)
        await until(lambda: not self.state.tasks)

    def connect(self) -> tuple[Door, Wire]:
        wire = Wire()
        door = Door(claim_nothing, Config(self.echo, log_config=None), self.state, {}, line=self.line, exits=self.exits)
        door.connection_made(wire)
        return door, wire

    def flood(self, kind: str) -> None:
        """Have so many attackers send all they have."""
        for _ in range(ATTACKERS):
            self.connect()[0].data_received(FLOODS[kind])

    async def rounds_until_answered(self) -> int:
        """How many rounds of the loop somebody waits who comes now with one POST."""
        door, wire = self.connect()
        door.data_received(GOOD)
        for rounds in range(ROUNDS_MAX):
            if wire.written:
                return rounds
            await asyncio.sleep(0)
        raise AssertionError("never answered")


@pytest.mark.parametrize("flood", FLOODS)
async def test_whoever_sends_much_has_one_turn_a_round_however_many_they_are(flood: str) -> None:
    async with Crowd() as crowd:
        crowd.flood(flood)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = crowd.line.given
        for _ in range(ROUNDS_OBSERVED):
            await asyncio.sleep(0)
        assert 0 < crowd.line.given - before <= ROUNDS_OBSERVED


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_newcomer_is_answered_as_soon_as_without_those_who_send_much(flood: str) -> None:
    async with Crowd() as quiet, Crowd() as crowd:
        alone = await quiet.rounds_until_answered()
        crowd.flood(flood)
        await asyncio.sleep(0)
        assert await crowd.rounds_until_answered() <= alone


async def test_what_waits_in_line_is_served_whole_and_in_order() -> None:
    async with Crowd() as crowd:
        wires = []
        for number in range(8):
            door, wire = crowd.connect()
            door.data_received(b"".join(b"GET /%d-%d HTTP/1.1\r\nHost: h\r\n\r\n" % (number, n) for n in range(20)))
            wires.append(wire)
        await until(lambda: all(wire.written.count(b"HTTP/1.1 200 ") == 20 for wire in wires))
    for number in range(8):
        paths = [one.path for one in crowd.echo.reached if one.path.startswith(f"/{number}-")]
        assert paths == [f"/{number}-{n}" for n in range(20)]


async def test_who_leaves_the_line_holds_nobody_up() -> None:
    async with Crowd() as crowd:
        for number in range(20):
            door, wire = crowd.connect()
            door.data_received(FLOODS["requests behind each other"])
            if number % 2:
                wire.close()
                door.connection_lost(None)
        door, wire = crowd.connect()
        door.data_received(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 10)
        await until(lambda: wire.written.count(b"HTTP/1.1 200 ") == 10)


async def test_behind_a_turn_the_line_rests_and_others_are_served() -> None:
    async with Crowd(rest_s=3_600) as crowd:
        crowd.flood("requests behind each other")
        for _ in range(3):
            await crowd.rounds_until_answered()
        assert crowd.line.given == 1


@pytest.mark.parametrize(
    "nonsense", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 9_000]
)
async def test_who_is_refused_is_told_so_one_after_the_other(nonsense: bytes) -> None:
    async with Crowd(rest_s=3_600) as crowd:
        wires = []
        for _ in range(ATTACKERS):
            door, wire = crowd.connect()
            door.data_received(nonsense)
            wires.append(wire)
        await crowd.rounds_until_answered()
        assert [bool(wire.written) for wire in wires] == [True] + [False] * (ATTACKERS - 1)
        assert all(wire.is_paused for wire in wires[1:])


async def test_who_is_refused_and_sends_on_has_a_turn_for_each_piece() -> None:
    async with Crowd() as crowd:
        door, wire = crowd.connect()
        door.data_received(b"nonsense\r\n\r\n")
        for given in range(1, 6):
            await until(lambda: not wire.is_paused)
            assert crowd.exits.given == given
            door.data_received(b"x" * 65_536)
            assert wire.is_paused
        assert wire.written.count(b"HTTP/1.1 ") == 1


async def test_whose_turn_does_not_come_is_told_when_the_server_shuts_down_or_its_time_is_over() -> None:
    async with Crowd(rest_s=3_600) as crowd:
        refused = [crowd.connect() for _ in range(3)]
        for door, _ in refused:
            door.data_received(b"nonsense\r\n\r\n")
        await until(lambda: crowd.exits.given == 1)
        _, (shut, shut_wire), (_, late_wire) = refused
        assert not shut_wire.written
        assert not late_wire.written
        shut.shutdown()
        assert shut_wire.written.startswith(b"HTTP/1.1 400 ")
        async with asyncio.timeout(TIMEOUT_S):
            for _ in iter(lambda: late_wire.is_over, True):
                await asyncio.sleep(0)
        assert late_wire.written.startswith(b"HTTP/1.1 400 ")


def test_a_server_has_a_line_of_its_own_for_work_and_for_leaving_and_both_rest() -> None:
    async def nothing() -> None:
        """Drain nothing."""

    servers = [DrainingServer(Echo(), lambda: None, nothing) for _ in range(2)]
    lines = [cast(Any, server.config.http).keywords[name] for server in servers for name in ("line", "exits")]
    assert len(set(map(id, lines))) == 4
    assert [line.rest_s for line in lines] == [WORK_REST_S, EXIT_REST_S] * 2
    assert 0 < WORK_REST_S < EXIT_REST_S


async def test_who_leaves_before_being_told_is_let_go_of() -> None:
    async with Crowd(rest_s=3_600) as crowd:
        doors = [crowd.connect() for _ in range(3)]
        for door, _ in doors:
            door.data_received(b"nonsense\r\n\r\n")
        await until(lambda: crowd.exits.given == 1)
        left = weakref.ref(doors[2][0])
        doors.pop()[0].connection_lost(None)
        del door
        assert left() is None


async def test_empty_lines_are_bounded_however_they_come() -> None:
    for pieces in ([b"\r\n" * 40], [b"\r\n"] * 40, [b"\n"] * 70, [b"\r", b"\n"] * 40):
        _, wire = await driven(pieces)
        assert wire.written.startswith(b"HTTP/1.1 400 "), pieces
    _, wire = await driven([b"\r\n" * 20, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"])
    assert wire.written.startswith(b"HTTP/1.1 200 ")


async def until(is_so: Callable[[], bool]) -> None:
    for _ in range(ROUNDS_MAX):
        if is_so():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never is")


@pytest.mark.parametrize("chunk", [b"1\r\nx\r\n", b"1;a=b\r\nx\r\n", b'1;a="' + b"b" * 200 + b'"\r\nx\r\n'])
def test_one_turn_takes_so_many_chunks_and_no_more(chunk: bytes) -> None:
    body, buffer = ChunkedBody(), bytearray(chunk * 1_000)
    for _ in range(2):
        assert 0 < len(body.take(buffer)) <= CHUNKS_A_TURN_MAX
        assert body.has_more


def test_one_turn_reads_so_many_bytes_of_extensions_and_no_more() -> None:
    line = b'1;a="' + b"b" * 900 + b'"\r\n'
    body, buffer = ChunkedBody(), bytearray((line + b"x\r\n") * 100)
    for _ in range(2):
        assert 0 < len(body.take(buffer)) <= EXTENSIONS_A_TURN_BYTES_MAX // len(line) + 1
        assert body.has_more
