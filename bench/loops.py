"""What a way through many records costs beside a bare loop over the same ones, as a table, numbers and a chart."""

from collections.abc import Sequence
from typing import NamedTuple

from bench.chart import Bar, chart
from bench.command import Outcome, over, table


class Result(NamedTuple):
    """One way; `per_s` counts records a second of the processor, of all threads."""

    way: str
    per_s: float
    bare_per_s: float

    @property
    def ratio(self) -> float:
        """How many times the bare loop's seconds it takes."""
        return over(self.bare_per_s, self.per_s)


def beside_loops(title: str, unit: str, results: Sequence[Result], drawn: str) -> Outcome:
    """Return what the command prints, writes and draws. `unit` is what is counted, as "rows"."""
    made = table(title, "way", f"{unit}/s", "bare loop", "x its seconds")
    for one in results:
        made.add_row(one.way, f"{one.per_s:,.0f}", f"{one.bare_per_s:,.0f}", f"{one.ratio:.1f}")
    bars = [Bar(one.way, "seconds over the bare loop's", one.ratio, one.ratio, f"{one.ratio:.1f}") for one in results]
    numbers = {"results": [{**one._asdict(), "ratio": one.ratio} for one in results]}
    return Outcome([made], numbers, chart(drawn, bars))
