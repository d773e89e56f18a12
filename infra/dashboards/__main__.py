"""`python -m infra.dashboards`: writes the chart's dashboards; tests/monitoring compares."""

import json
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import GraphTresholdsStyleMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
)

from infra.dashboards.boards import BOARDS, Board, Panel

DIRECTORY: Final = Path(__file__).parents[2] / "helm/livecomments/monitoring/dashboards"
_SOURCE: Final = DataSourceRef("prometheus", "${source}")
_ROW_PANELS: Final = 4
_WIDTH: Final = 24 // _ROW_PANELS
"""Grafana's grid is 24 wide."""
_HEIGHT: Final = 7


def written(board: Board) -> str:
    """Return a dashboard as Grafana's JSON."""
    made = (
        dashboard.Dashboard(board.title)
        .uid(f"livecomments-{board.name}")
        .tags(["livecomments"])
        .refresh("30s")
        .time("now-3h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
        .link(
            dashboard.DashboardLink("Livecomments")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["livecomments"])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for title, panels in board.rows.items():
        assert len(panels) <= _ROW_PANELS
        made = made.with_row(dashboard.Row(title))
        for panel in panels:
            made = made.with_panel(_drawn(panel))
    return json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _drawn(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().title(panel.title).unit(panel.unit).datasource(_SOURCE).min(0)
    made = made.span(_WIDTH).height(_HEIGHT).fill_opacity(10)
    for number, (legend, query) in enumerate(panel.queries.items()):
        made = made.with_target(prometheus.Dataquery().expr(query).legend_format(legend).ref_id(chr(ord("A") + number)))
    if panel.bound is not None:
        steps = [Threshold(None, "green"), Threshold(panel.bound, "red")]
        made = made.thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
        made = made.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.LINE))
    return made


def main() -> None:
    """Write all of them."""
    DIRECTORY.mkdir(exist_ok=True)
    for board in BOARDS:
        (DIRECTORY / f"{board.name}.json").write_text(written(board))
        print(f"{board.name}.json: written")


if __name__ == "__main__":
    main()
