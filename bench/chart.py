"""Charts of measurements, as SVG by hand: bars beside each other on one scale from 0."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

_ROW: Final = 22
_LEFT: Final = 230
_WIDTH: Final = 520
_COLOURS: Final = ("#2a78b5", "#e07b39", "#5a9e5a", "#8a6bbf")


class Bar(NamedTuple):
    """One measurement."""

    label: str
    """Bars with the same label stand together."""
    series: str
    """Bars of the same series have the same colour."""
    value: float
    most: float
    """A thin line leads on to it: the p99 of a p50, or the value again."""
    said: str


def chart(title: str, bars: Sequence[Bar], target: float | None = None) -> str:
    """Return an SVG of the bars, with a line at the value that they should not exceed."""
    labels = list(dict.fromkeys(bar.label for bar in bars))
    series = list(dict.fromkeys(bar.series for bar in bars))
    scale = _WIDTH / (max([*(bar.most for bar in bars), target or 0.0]) or 1.0)
    parts, y = [], 40
    for label in labels:
        parts.append(f'<text x="{_LEFT - 10}" y="{y + _ROW}" text-anchor="end">{escape(label)}</text>')
        for bar in (found for found in bars if found.label == label):
            parts.append(_drawn(bar, y, scale, _COLOURS[series.index(bar.series) % len(_COLOURS)]))
            y += _ROW
        y += 10
    if target is not None:
        x = _LEFT + target * scale
        parts.append(f'<line x1="{x:.1f}" y1="34" x2="{x:.1f}" y2="{y}" stroke="#333" stroke-dasharray="4"/>')
    legend = "".join(
        f'<tspan fill="{_COLOURS[at % len(_COLOURS)]}">{escape(name)}  </tspan>' for at, name in enumerate(series)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 150}" height="{y + 10}" '
        'font-family="sans-serif" font-size="13"><style>.small{font-size:11px}</style>'
        '<rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="22">{escape(title)} {legend}</text>{"".join(parts)}</svg>\n'
    )


def _drawn(bar: Bar, y: int, scale: float, colour: str) -> str:
    end, most, middle = bar.value * scale, bar.most * scale, y + _ROW // 2
    line = f'x1="{_LEFT + end:.1f}" y1="{middle}" x2="{_LEFT + most:.1f}" y2="{middle}"'
    return (
        f'<rect x="{_LEFT}" y="{y + 3}" width="{end:.1f}" height="{_ROW - 6}" fill="{colour}"/>'
        f'<line {line} stroke="{colour}" stroke-width="2"/>'
        f'<text x="{_LEFT + most + 6:.1f}" y="{middle + 4}" class="small">{escape(bar.said)}</text>'
    )
