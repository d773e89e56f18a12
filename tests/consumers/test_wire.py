"""The forms of the same bytes: any mix of blocks decodes to what was put in, from any block on."""

import gzip
import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments.web.encodings import accepts_gzip
from livecomments_consumers.block import Block
from livecomments_consumers.wire import FLUSHED, LAST_CHUNK, Form, chunk, formed, opening
from tests.consumers.sim.checker import Chunks, Gunzip

DATA = st.one_of(st.binary(min_size=1, max_size=2_000), st.builds(lambda n: b"comment " * n, st.integers(1, 20_000)))


def decoded(sent: bytes, form: Form) -> bytes:
    """What a client makes of it."""
    if form.is_chunked:
        chunks = Chunks()
        sent = (
            b"".join(chunks.feed(sent[at : at + 7]) for at in range(0, len(sent), 7))
            if len(sent) < 5_000
            else chunks.feed(sent)
        )
    return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(sent) if form.is_gzip else sent


@given(st.sampled_from(Form), DATA, st.lists(st.tuples(DATA, st.booleans()), max_size=5))
def test_any_mix_of_shared_and_own_bytes_decodes_to_what_was_put_in(
    form: Form, first: bytes, parts: list[tuple[bytes, bool]]
) -> None:
    sent = opening(first, form) + b"".join(formed(data, form, compress=shared) for data, shared in parts)
    assert decoded(sent, form) == first + b"".join(data for data, _ in parts)


@given(st.lists(DATA, min_size=2, max_size=6), st.data())
def test_a_viewer_may_begin_at_any_block_and_leave_blocks_out(blocks: list[bytes], data: st.DataObject) -> None:
    kept = data.draw(st.lists(st.sampled_from(range(len(blocks))), unique=True).map(sorted))
    sent = opening(b"x", Form.GZIP) + b"".join(formed(blocks[n], Form.GZIP, compress=True) for n in kept)
    assert decoded(sent, Form.GZIP) == b"x" + b"".join(blocks[n] for n in kept)


@given(DATA, st.lists(st.tuples(DATA, st.booleans()), max_size=5))
def test_a_reader_that_waits_for_a_flush_has_all_that_was_written(
    first: bytes, parts: list[tuple[bytes, bool]]
) -> None:
    """RFC 1951 leaves it to the decoder when it hands out what it has."""
    gunzip, writes = Gunzip(), [opening(first, Form.GZIP)]
    writes += [formed(data, Form.GZIP, compress=shared) for data, shared in parts]
    for written, data in zip(writes, [first, *(data for data, _ in parts)], strict=True):
        assert written.endswith(FLUSHED)
        assert gunzip.feed(written) == data


def test_that_reader_hands_nothing_out_before() -> None:
    written = opening(b"a" * 300, Form.GZIP)
    gunzip = Gunzip()
    assert [gunzip.feed(written[:-1]), gunzip.feed(written[-1:])] == [b"", b"a" * 300]


def test_the_standard_librarys_own_reader_takes_the_beginning_for_gzip() -> None:
    reader = gzip.GzipFile(fileobj=io.BytesIO(opening(b"a" * 300, Form.GZIP)))
    assert reader.read1(300) == b"a" * 300


@pytest.mark.parametrize("form", Form)
def test_nothing_stays_nothing_since_an_empty_chunk_would_end_the_answer(form: Form) -> None:
    assert formed(b"", form) == formed(b"", form, compress=True) == b""
    assert chunk(b"") == LAST_CHUNK


def test_a_block_is_made_once_in_each_form_and_everybody_gets_the_same_object() -> None:
    block = Block(0, 1, 1, b"data: x\n\n" * 100, 1, is_shared=True)
    for form in Form:
        assert block.form(form) is block.form(form)
    assert len(block.form(Form.GZIP)) < len(block.form(Form.PLAIN)) / 4


@pytest.mark.parametrize(
    ("header", "takes"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("*", True),
        ("gzip;q=0.5", True),
        ("br, gzip ; q=0.1", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("gzip;q=0.5, identity", False),
        ("gzip;q=2", False),
        ("gzip;q=abc", False),
        ("gzipped", False),
        (",,;;=", False),
    ],
)
def test_gzip_is_sent_to_who_takes_it_and_to_nobody_else(header: str, takes: bool) -> None:
    assert accepts_gzip(header) is takes
