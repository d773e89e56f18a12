"""A dashboard as a picture: every panel, every line, and where nothing was known no line."""

import xml.etree.ElementTree as ET
from typing import Final

from infra.dashboards.boards import OVERVIEW
from infra.dashboards.picture import Series, drawn

_SVG: Final = "{http://www.w3.org/2000/svg}"


def read(query: str) -> list[Series]:
    if "edge_viewers" not in query:
        return []
    labels = {"instance": "<edge>", "state": "live"}
    return [Series(labels, [(0.0, 1.0), (5.0, 2.0), (10.0, float("nan")), (15.0, 4.0), (20.0, 4.0)])]


def test_every_panel_is_drawn_with_its_lines_and_their_gaps() -> None:
    tree = ET.fromstring(drawn(OVERVIEW, read, 0.0, 20.0))
    panels = tree.findall(f"{_SVG}g")
    assert len(panels) == sum(map(len, OVERVIEW.rows.values()))
    said = {title.text: panel for panel in panels if (title := panel.find(f"{_SVG}text[@class='title']")) is not None}
    assert set(said) == {panel.title for row in OVERVIEW.rows.values() for panel in row}
    lines = said["Viewers"].findall(f"{_SVG}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 2]
    assert "live" in {text.text for text in said["Viewers"].findall(f"{_SVG}text")}
    assert not said["Deliveries"].findall(f"{_SVG}polyline")
    bounds = [line for line in said["Log silent"].findall(f"{_SVG}polyline") if "stroke-dasharray" in line.attrib]
    assert len(bounds) == 1
