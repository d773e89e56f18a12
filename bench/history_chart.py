"""The chart of `bench.history`: for each kind of page p50 and p99, bucket bits beside each other, as SVG by hand."""

from collections.abc import Sequence
from html import escape
from typing import Final, Protocol

_ROW: Final = 22
_LEFT: Final = 230
_WIDTH: Final = 520
_COLOURS: Final = ("#2a78b5", "#e07b39", "#5a9e5a", "#8a6bbf")


class Measured(Protocol):
    """What is drawn."""

    @property
    def kind(self) -> str:
        """Of page."""

    @property
    def bits(self) -> int:
        """Bucket bits."""

    @property
    def p50_ms(self) -> float:
        """Half were faster."""

    @property
    def p99_ms(self) -> float:
        """All but one in a hundred were faster."""


def chart(results: Sequence[Measured]) -> str:
    """A bar to p50 and a thin line on to p99 for each kind and number of bits, on one scale from 0."""
    kinds = list(dict.fromkeys(one.kind for one in results))
    bits = list(dict.fromkeys(one.bits for one in results))
    scale = _WIDTH / max(one.p99_ms for one in results)
    parts, y = [], 40
    for kind in kinds:
        parts.append(f'<text x="{_LEFT - 10}" y="{y + _ROW}" text-anchor="end">{escape(kind)}</text>')
        for one in (found for found in results if found.kind == kind):
            colour, middle = _COLOURS[bits.index(one.bits) % len(_COLOURS)], y + _ROW // 2
            p50, p99 = one.p50_ms * scale, one.p99_ms * scale
            parts.append(f'<rect x="{_LEFT}" y="{y + 3}" width="{p50:.1f}" height="{_ROW - 6}" fill="{colour}"/>')
            line = f'x1="{_LEFT + p50:.1f}" y1="{middle}" x2="{_LEFT + p99:.1f}" y2="{middle}"'
            parts.append(f'<line {line} stroke="{colour}" stroke-width="2"/>')
            said = f"{one.p50_ms:.1f} / {one.p99_ms:.1f} ms"
            parts.append(f'<text x="{_LEFT + p99 + 6:.1f}" y="{middle + 4}" class="small">{said}</text>')
            y += _ROW
        y += 10
    legend = "".join(
        f'<tspan fill="{_COLOURS[at % len(_COLOURS)]}">{number} bucket bits  </tspan>' for at, number in enumerate(bits)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 150}" height="{y + 10}" '
        'font-family="sans-serif" font-size="13"><style>.small{font-size:11px}</style>'
        '<rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="22">One page at the store: bar p50, line to p99. {legend}</text>{"".join(parts)}</svg>\n'
    )
