"""A dashboard drawn from what a Prometheus has, as SVG: what Grafana would show, for a page that needs no Grafana."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Final, NamedTuple

from infra.dashboards.boards import Board, Panel

_WIDTH: Final = 320
_HEIGHT: Final = 190
_PLOT: Final = (46, 30, 262, 84)
"""Of a panel: left, top, width and height of what is drawn; the legend is below."""
_LEGEND_MAX: Final = 6
_NAME_CHARS_MAX: Final = 22
_COLOURS: Final = ("#2a78b5", "#e07b39", "#5a9e5a", "#8a6bbf", "#c0392b", "#7f8c8d", "#b8860b", "#16a085")
_UNITS: Final = {"s": " s", "ops": "/s", "percentunit": "", "short": "", "bytes": " B", "Bps": " B/s"}


class Series(NamedTuple):
    """One line: its labels, and (time, value) in order; values that are no numbers are left out."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


Read = Callable[[str], Sequence[Series]]
"""Gives the series of a query over the time that is drawn."""


def drawn(board: Board, read: Read, begin: float, end: float) -> str:
    """Return the dashboard from `begin` to `end`, in seconds as Prometheus counts them."""
    parts: list[str] = []
    y = 34
    for title, panels in board.rows.items():
        parts.append(f'<text x="10" y="{y + 16}" class="row">{escape(title)}</text>')
        y += 24
        for column, panel in enumerate(panels):
            lines = [
                (_named(legend, one.labels), one) for legend, query in panel.queries.items() for one in read(query)
            ]
            parts.append(f'<g transform="translate({10 + column * _WIDTH},{y})">{_panel(panel, lines, begin, end)}</g>')
        y += _HEIGHT
    width = 10 + 4 * _WIDTH
    style = ".row{font-weight:bold;font-size:14px}.small{font-size:10px;fill:#555}.title{font-size:12px}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{y + 6}" font-family="sans-serif">'
        f'<style>{style}</style><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="22" font-size="17" font-weight="bold">{escape(board.title)}</text>{"".join(parts)}</svg>\n'
    )


def _panel(panel: Panel, lines: Sequence[tuple[str, Series]], begin: float, end: float) -> str:
    left, top, width, height = _PLOT
    values = [value for _, series in lines for _, value in series.points if math.isfinite(value)]
    most = max([*values, panel.bound or 0.0]) * 1.05 or 1.0

    def at(time: float, value: float) -> str:
        return f"{left + (time - begin) / (end - begin) * width:.1f},{top + height - value / most * height:.1f}"

    parts = [
        f'<rect x="0" y="0" width="{_WIDTH - 8}" height="{_HEIGHT - 8}" fill="none" stroke="#ddd"/>',
        f'<text x="8" y="18" class="title">{escape(panel.title)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = top + height - share * height
        parts.append(f'<line x1="{left}" y1="{y}" x2="{left + width}" y2="{y}" stroke="#eee"/>')
        said = escape(_said(share * most, panel.unit))
        parts.append(f'<text x="{left - 4}" y="{y + 3}" text-anchor="end" class="small">{said}</text>')
    if panel.bound is not None:
        ends = at(begin, panel.bound), at(end, panel.bound)
        parts.append(f'<polyline points="{" ".join(ends)}" stroke="#c0392b" stroke-dasharray="4" fill="none"/>')
    for number, (name, series) in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        parts += [
            f'<polyline points="{" ".join(_bends([at(*point) for point in piece]))}" stroke="{colour}" fill="none"/>'
            for piece in _pieces(series.points)
        ]
        if number < _LEGEND_MAX:
            x, y = left - 36 + number % 2 * 150, top + height + 16 + number // 2 * 14
            parts.append(f'<rect x="{x}" y="{y - 8}" width="8" height="8" fill="{colour}"/>')
            parts.append(f'<text x="{x + 12}" y="{y}" class="small">{escape(_short(name))}</text>')
    if len(lines) > _LEGEND_MAX:
        more = f"and {len(lines) - _LEGEND_MAX} more"
        parts.append(f'<text x="{left - 36}" y="{top + height + 16 + 3 * 14}" class="small">{more}</text>')
    return "".join(parts)


def _bends(points: Sequence[str]) -> list[str]:
    """Leave out the points of a level stretch that lie between its ends."""
    heights = [point.partition(",")[2] for point in points]
    last = len(points) - 1
    return [
        point
        for number, point in enumerate(points)
        if number in (0, last) or not heights[number - 1] == heights[number] == heights[number + 1]
    ]


def _short(name: str) -> str:
    return name if len(name) <= _NAME_CHARS_MAX else name[:_NAME_CHARS_MAX] + "…"


def _pieces(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Cut a line where nothing was known."""
    known = [point for point in points if math.isfinite(point[1])]
    steps = [later[0] - earlier[0] for earlier, later in pairwise(known)]
    gap = 1.5 * min(steps, default=0.0)
    pieces: list[list[tuple[float, float]]] = []
    for number, point in enumerate(known):
        if number == 0 or steps[number - 1] > gap:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def _named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


def _said(value: float, unit: str) -> str:
    if unit == "percentunit":
        return f"{value:.3g}" if value > 10 else f"{100 * value:.3g} %"
    for bound, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= bound:
            return f"{value / bound:.3g}{sign}{_UNITS[unit]}"
    return f"{1000 * value:.3g} ms" if unit == "s" and 0 < value < 1 else f"{value:.3g}{_UNITS[unit]}"
