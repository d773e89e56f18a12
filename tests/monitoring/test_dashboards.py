"""The committed dashboards are what the code says, and show what there is."""

import json
import re
from typing import Any

import pytest

from infra.dashboards.__main__ import DIRECTORY, written
from infra.dashboards.boards import BOARDS, Board
from tests.docs_tables import declared_metrics
from tests.monitoring.rules import ROOT, RULES
from tests.tidy import Tree


def queries(board: Board) -> list[str]:
    return [query for panels in board.rows.values() for panel in panels for query in panel.queries.values()]


def test_each_is_committed_as_it_is_written() -> None:
    committed = {path.name: path.read_text() for path in DIRECTORY.iterdir()}
    assert committed == {f"{board.name}.json": written(board) for board in BOARDS}, "run `make docs`"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_each_shows_metrics_that_exist_and_labels_that_they_have(board: Board) -> None:
    metrics = {metric.name: set(metric.labels) for metric in declared_metrics(Tree(ROOT))}
    recorded = set(re.findall(r"record: (\S+)", RULES.read_text()))
    named: set[str] = set()
    for query in queries(board):
        names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\blivecomments_\w+", query)}
        named |= names
        assert names <= metrics.keys(), query
        assert set(re.findall(r"\blivecomments:[\w:]+", query)) <= recorded
        grouped = {label.strip() for found in re.findall(r"by \(([^)]*)\)", query) for label in found.split(",")}
        of_all = {"instance", "job", "le", "alertname"}.union(*(metrics[name] for name in names))
        assert grouped <= of_all, query
    assert named


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_each_fits_the_grid_and_names_no_source_of_one_installation(board: Board) -> None:
    said: dict[str, Any] = json.loads(written(board))
    panels = [panel for panel in said["panels"] if panel["type"] != "row"]
    assert len(panels) == sum(map(len, board.rows.values()))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${source}"}
