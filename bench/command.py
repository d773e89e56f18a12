"""The command line of a benchmark: its plan as options, a server if none is given, and the numbers in files."""

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rich.table import Table

from bench.persist_stack import load_average
from bench.stand import broker, stay_off_one_core
from infra.local.servers import RUN_DIR
from livecomments.runtime.console import plain_console


class Outcome(NamedTuple):
    """What a benchmark found."""

    tables: list[Table]
    numbers: dict[str, Any]
    svg: str


P = TypeVar("P", bound=tuple[Any, ...])
Measure = Callable[[P, str, Path, bool], Awaitable[Outcome]]
"""Called with the plan, Kafka's address, a directory for the run, and whether the edge may have a core of its own."""


def table(title: str, *heads: str) -> Table:
    """Make a table whose first column is words."""
    made = Table(title=title, title_justify="left")
    for at, head in enumerate(heads):
        made.add_column(head, justify="right" if at else "left")
    return made


def over(value: float, floor: float) -> float:
    """Return their ratio; 0 where there is nothing to compare with."""
    return value / floor if floor else 0.0


def command(
    name: str, doc: str | None, plan: P, measure: Measure[P], *, pinned: bool = True, kafka: bool = True
) -> None:
    """Measure as the command line says, print the tables, write JSON and chart. `kafka`: on one."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}", description=doc)
    defaults = _fields(plan)
    for field, default in defaults.items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=type(default), default=default, help=f"{default}")
    needs_kafka = kafka
    if needs_kafka:
        parser.add_argument("--kafka", help="bootstrap servers; one is started by default")
    parser.add_argument("--out", type=Path, default=RUN_DIR / "bench" / name, help="writes FILE.json and FILE.svg")
    given = parser.parse_args()
    console = plain_console(width=150)

    async def run() -> Outcome:
        with tempfile.TemporaryDirectory(prefix="livecomments-bench-") as directory:
            if not needs_kafka:
                return await measure(asked, "", Path(directory), is_apart)
            async with broker(Path(directory), given.kafka) as address:
                return await measure(asked, address, Path(directory), is_apart)

    asked = type(plan)(*(getattr(given, field) for field in defaults))
    is_apart = pinned and stay_off_one_core()
    before = load_average()
    outcome = asyncio.run(run())
    for one in outcome.tables:
        console.print(one)
    console.print(f"load average {before} before, {load_average()} after, on {os.cpu_count()} cores")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"plan": _fields(asked), "loadAverage": [before, load_average()], **outcome.numbers}
    given.out.with_suffix(".json").write_text(json.dumps(numbers, indent=2) + "\n")
    given.out.with_suffix(".svg").write_text(outcome.svg)
    console.print(f"written to {given.out}.json and .svg", soft_wrap=True)


def _fields(plan: Any) -> dict[str, Any]:
    """List those of a NamedTuple, for which there is no type."""
    fields: dict[str, Any] = plan._asdict()
    return fields
