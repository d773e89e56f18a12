"""The benchmark of history: what it asks for lies where it says, and the chart shows what was measured."""

import random
from xml.etree import ElementTree

from bench.history import START, Plan, Result, drawn, kinds, row
from livecomments_schemas.positions import BEFORE_EVERYTHING

PLAN = Plan(comments=1_000, sparse_videos=5, sparse_comments=3, span=10_000, pages=10, page_size=10)


def test_pages_are_asked_for_inside_of_what_was_loaded() -> None:
    for kind, ask in kinds(PLAN, random.Random(1)).items():
        for _ in range(100):
            video_id, after, through, descending = ask()
            top = START + (PLAN.comments if video_id == "dense" else PLAN.span)
            assert BEFORE_EVERYTHING <= after < through <= top, kind
            assert descending == ("oldest" not in kind and "forward" not in kind)


def test_a_row_is_a_comment_of_some_hundred_bytes() -> None:
    assert row("dense", 7).position == START + 7
    assert 150 < len(row("dense", 7).value) < 400


def test_the_chart_draws_a_bar_for_each_result_on_one_scale() -> None:
    results = [Result("a <b>", 18, 2.0, 8.0, 2.0), Result("a <b>", 20, 4.0, 5.0, 2.0)]
    root = ElementTree.fromstring(drawn(results))
    svg = "{http://www.w3.org/2000/svg}"
    bars = [float(bar.attrib["width"]) for bar in root.iter(f"{svg}rect") if bar.attrib["width"] != "100%"]
    assert bars[1] == 2 * bars[0]
    assert len(list(root.iter(f"{svg}line"))) == 2
    assert "2.0 / 8.0 ms" in "".join(root.itertext())
