"""Pages: the elements' own bytes, whatever stands in the texts."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments_loadtest.ledger import digest_of
from livecomments_loadtest.metrics import by_source, since, since_all
from livecomments_loadtest.pages import PageMalformed, array_elements, read_page

ID = "00000000000000a1"
LINK = f'"streamUrl":"/comments/v/stream?after={ID}"'
TEXTS = st.text() | st.sampled_from(['"comments":[{', "}]\\", '\\"', "[{]}"])


@given(st.lists(st.tuples(TEXTS, st.dictionaries(TEXTS, TEXTS | st.integers(), max_size=2))), TEXTS, st.booleans())
def test_elements_are_cut_out_in_their_own_bytes(
    texts: list[tuple[str, dict[str, str | int]]], other: str, airy: bool
) -> None:
    elements = [
        json.dumps({"message": text, "comments": [{}], "author": author}, ensure_ascii=airy).encode(
            "utf-8", "surrogatepass"
        )
        for text, author in texts
    ]
    document = b'{"a": %s, "comments" : [%s], "z": {"comments": [{"x": 1}]}}' % (
        json.dumps([other, {"comments": [{"y": {}}]}]).encode(),
        (b" ,\n " if airy else b",").join(elements),
    )
    assert array_elements(document, b'"comments"') == elements


def test_a_page_is_read_with_digests_and_links() -> None:
    element = b'{"commentId":"%s", "message":"\\u00e9"}' % ID.encode()
    page = read_page(b'{"comments":[%s],"nextCursor":"%s",%s}' % (element, ID.encode(), LINK.encode()))
    assert page.items == [(ID, digest_of(element))]
    assert page.next_cursor == page.complete_to == ID
    assert page.stream_url == f"/comments/v/stream?after={ID}"


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        "[]",
        f'{{"comments":[],{LINK}}}',
        f'{{"comments":[],"nextCursor":5,{LINK}}}',
        f'{{"comments":[],"nextCursor":"x",{LINK}}}',
        f'{{"comments":[{{"commentId":"x"}}],"nextCursor":null,{LINK}}}',
        '{"comments":[],"nextCursor":null,"streamUrl":"/comments/v/stream"}',
    ],
)
def test_a_page_that_breaks_the_contract_is_refused(body: str) -> None:
    with pytest.raises(PageMalformed):
        read_page(body.encode())


def test_sources_are_counted_between_two_readings() -> None:
    text = (
        '# TYPE livecomments_history_reads_total counter\nlivecomments_history_reads_total{source="store"} 7.0\n'
        'livecomments_edge_backfills_total{edge="a",source="log"} 1e+01\n'
        'livecomments_edge_backfills_total{edge="b",source="log"} 2.0\nother_total{source="x"} 1.0\n'
    )
    after = by_source(text)
    assert after == {"history reads from store": 7, "backfills from log": 12}
    before = by_source('livecomments_history_reads_total{source="store"} 9.0\n')
    assert since(before, after) == {"backfills from log": 12, "history reads from store": 7}
    assert since(None, after) is None
    assert orjson.dumps(since(after, after)) == b'{"backfills from log":0,"history reads from store":0}'
    assert since_all([before, after, None], [after, after, after]) == {
        "backfills from log": 12,
        "history reads from store": 7,
    }
    assert since_all([None], [after]) is None
