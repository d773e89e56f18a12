"""`python -m tests.web.fuzz`: messages that nobody thought of, for a time (`make fuzz`).

Two properties, also run by the suite for a moment: however a connection's bytes are cut, the same is served and
answered; and what is served, another reader of HTTP (h11) reads too, with the same contents and in the same order. So
no request is ever found in another's content, or where somebody else sees none.
"""

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import h11
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from livecomments.web.bounds import HttpLimits
from tests.corpus.messages import HIDDEN, NEXT, all_vectors
from tests.web.driven import driven
from tests.web.echo import Reached

BYTES_MAX: Final = 6_000
"""Of a connection: what is longer finds no more, and takes longer to make small."""
PATIENT: Final = HttpLimits(head_timeout_s=3_600.0, body_timeout_s=3_600.0)
"""However slowly this machine goes."""
_STATUS: Final = re.compile(rb"^HTTP/1\.1 (\d{3}) ", re.MULTILINE)
_WHOLE: Final = [vector.raw for vector in all_vectors() if len(vector.raw) < 2_000]

methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"get", b"P\xc3", b""])
blanks = st.sampled_from([b" ", b" ", b" ", b" ", b"  ", b"\t", b""])
ends = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b""])
names = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Upgrade",
        b"Expect",
        b"X",
        b"content-length ",
        b"",
    ]
)
values = st.one_of(
    st.sampled_from([b"h", b"0", b"5", b"%d" % len(HIDDEN), b"chunked", b"close", b"Upgrade", b"h2c", b"100-continue"]),
    st.sampled_from([b"gzip, chunked", b"5, 5", b"+5", b"\x0bchunked", b"keep-alive", b"identity", b"h\x00", b""]),
    st.binary(max_size=6),
)
fields = st.builds(
    lambda name, colon, value, end: name + colon + value + end,
    names,
    st.sampled_from([b": ", b":", b" :"]),
    values,
    ends,
)
lines = st.builds(
    lambda method, one, target, other, version, end: method + one + target + other + version + end,
    methods,
    blanks,
    st.sampled_from([b"/first", b"/%41", b"*", b"http://h/first", b"//", b"/a b", b"h:80", b"/\xff", b"/%"]),
    blanks,
    st.sampled_from([b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"RTSP/1.0", b""]),
    ends,
)
chunks = st.builds(
    lambda size, extension, end, data, last: size + extension + end + data + last,
    st.sampled_from([b"0", b"5", b"%x" % len(HIDDEN), b"05", b"-1", b"g", b"ffffffffffffffff", b""]),
    st.sampled_from([b"", b"", b"", b";a=b", b' ;a="b"', b";\n", b";"]),
    ends,
    st.sampled_from([b"hello", HIDDEN, b"", b"\r\n"]),
    ends,
)
heads = st.builds(
    lambda line, rest, end: line + b"Host: h\r\n" + b"".join(rest) + end, lines, st.lists(fields, max_size=4), ends
)
contents = st.one_of(st.just(HIDDEN), st.lists(chunks, max_size=4).map(b"".join), st.just(b""), st.binary(max_size=20))
made = st.lists(st.one_of(st.tuples(heads, contents).map(b"".join), st.just(NEXT)), min_size=1, max_size=3).map(
    b"".join
)


@st.composite
def bent(draw: st.DrawFn) -> bytes:
    """A message of the corpus with a byte or a few put in, taken out or changed."""
    raw = bytearray(draw(st.sampled_from(_WHOLE)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 2))] = draw(
            st.one_of(st.binary(max_size=2), st.sampled_from([b"\r\n", b"\n", b":"]))
        )
    return bytes(raw[:BYTES_MAX])


streams = st.one_of(made, bent())
cuts = st.lists(st.integers(1, 40), min_size=1, max_size=20)


def cut(raw: bytes, sizes: Sequence[int]) -> list[bytes]:
    """`raw` in pieces of these sizes, again and again."""
    pieces, at, turn = [], 0, 0
    while at < len(raw):
        pieces.append(raw[at : at + sizes[turn % len(sizes)]])
        at, turn = at + sizes[turn % len(sizes)], turn + 1
    return pieces


def play(pieces: Sequence[bytes]) -> tuple[list[Reached], list[bytes]]:
    """What is served, and how it is answered.

    Whether a client is told to go on depends on the cut, and of several faults the one that is named.
    """
    echo, wire = asyncio.run(driven(pieces, PATIENT))
    statuses = [status for status in _STATUS.findall(bytes(wire.written)) if status != b"100"]
    return echo.reached, [status if status < b"400" else b"refused" for status in statuses]


def read_by_h11(raw: bytes, count: int) -> list[tuple[str, bytes]]:
    """Method and content of the first requests as h11 reads them, as many as it does."""
    found: list[tuple[str, bytes]] = []
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
    connection.receive_data(raw)
    try:
        while len(found) < count:
            request: Any = connection.next_event()
            if not isinstance(request, h11.Request):
                return found
            content = b""
            while isinstance(event := connection.next_event(), h11.Data):
                content += event.data
            if not isinstance(event, h11.EndOfMessage):
                return found
            found.append((request.method.decode(), content))
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            connection.start_next_cycle()
    except (h11.RemoteProtocolError, h11.LocalProtocolError):
        pass
    return found


def the_cut_of_the_bytes_decides_nothing(raw: bytes, sizes: list[int]) -> None:
    """However a connection's bytes come, the same is served and answered."""
    assert play(cut(raw, sizes)) == play([raw])


def what_is_served_h11_reads_too(raw: bytes) -> None:
    """What is served is what another reader sees, except where that is stricter about what follows."""
    assume(b"OPTIONS *" not in raw)  # which the door answers by itself
    reached, statuses = play([raw])
    assert all(status in (b"200", b"204", b"refused") for status in statuses)
    served = [(one.method, one.content) for one in reached]
    theirs = read_by_h11(raw.lstrip(b"\r\n"), len(served))
    assert served[: len(theirs)] == theirs
    assert served == theirs or _is_read_by_us_alone(raw)


def _is_read_by_us_alone(raw: bytes) -> bool:
    """Whether it holds what h11 refuses, and the RFC lets a server take."""
    return any(
        mark in raw for mark in (b"HTTP/1.0", b"HTTP/1.2", b"100-continue", b"\r\n\r\n\r\n", b"close", b"Connection")
    )


PROPERTIES: Final[tuple[tuple[Callable[..., None], tuple[Any, ...]], ...]] = (
    (the_cut_of_the_bytes_decides_nothing, (streams, cuts)),
    (what_is_served_h11_reads_too, (streams,)),
)


def run(examples: int) -> None:
    """Each property on so many examples. Raises what the first that fails raises."""
    checks = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    for property_, drawn in PROPERTIES:
        checked: Any = cast(Any, given)(*drawn)(property_)  # made anew: settings are taken once
        checks(checked)()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="go on for about so long")
    parser.add_argument("--examples", type=int, default=500, help="of each property in a round")
    given_ = parser.parse_args()
    began_at, rounds = time.monotonic(), 0
    while time.monotonic() - began_at < given_.seconds:
        run(given_.examples)
        rounds += 1
    sys.stdout.write(f"{rounds * given_.examples * len(PROPERTIES):,} connections, and nothing found\n")


if __name__ == "__main__":
    main()
