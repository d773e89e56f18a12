"""`python -m tests.docs_tables`: writes what the code knows into pages (`make docs`); tests/test_docs.py compares.

- docs/CONFIG.md: the settings of every process.
- docs/METRICS.md: the metrics that the rooms declare.
- docs/COMMANDS.md: the commands of the `livecomments` program.
- docs/ERRORS.md: the codes of problems; the last column is by hand, and kept.
- helm/livecomments/README.md: the values of the chart; helm/livecomments/values.schema.json: the settings among them.
- helm/livecomments/front/: the load balancer's files, since a chart has what is in its directory alone.

Only what stands between the two marks of a file is written; the prose around it is by hand.
"""

import ast
import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from livecomments.runtime.settings import key_of
from livecomments.web.problems import STATUS
from tests.helm import settings_schema
from tests.helm.chart import CHART, leaves
from tests.tidy import Module, Tree

ROOT: Final = Path(__file__).parents[1]
BEGIN: Final = "<!-- Written by `make docs`. -->"
END: Final = "<!-- By hand from here on. -->"
KINDS: Final = frozenset(("BulkHistogram", "Counter", "Gauge", "Histogram", "Info", "Reading", "Summary"))
_WHAT_TO_DO: Final = re.compile(r"^\| `(\w+)` \| \d+ \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)
_METRIC_LIBRARIES: Final = frozenset(("livecomments.runtime.metrics", "prometheus_client"))


class Metric(NamedTuple):
    """A metric as the code declares it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def declared_metrics(tree: Tree) -> list[Metric]:
    """All metrics of ours, by name. Name, meaning and labels must be literals, or nobody could list them.

    Raises:
        ValueError: one is not.
    """
    return sorted(metric for module in tree.ours for metric in _metrics_of(module))


def commands() -> dict[str, TyperCommand]:
    """The program's commands by name; those of a group as 'group command'."""
    from livecomments_command.__main__ import app

    return dict(_commands_of(get_command(app), ""))


def settings_table() -> str:
    """The settings, in the order of the processes and their parts, and who takes each."""
    from livecomments_command.settings import PROCESSES

    taken: dict[str, list[str]] = {}
    fields: dict[str, dataclasses.Field[Any]] = {}
    for process, kind in PROCESSES.items():
        for field in dataclasses.fields(kind):
            taken.setdefault(field.name, []).append(process)
            fields.setdefault(field.name, field)
    rows = [
        (f"`{key_of(name)}`", _default(field), _takers(taken[name], len(PROCESSES)), field.metadata["doc"])
        for name, field in fields.items()
    ]
    return _table(("Setting", "Default", "Taken by", "Meaning"), rows)


def _takers(processes: Sequence[str], count: int) -> str:
    return "all" if len(processes) == count else ", ".join(processes)


def metrics_table() -> str:
    """The metrics, by name."""
    rows = [
        (
            f"`{metric.name}`",
            {"Reading": "gauge", "BulkHistogram": "histogram"}.get(metric.kind, metric.kind.lower()),
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.meaning,
        )
        for metric in declared_metrics(Tree(ROOT))
    ]
    return _table(("Metric", "Kind", "Labels", "Meaning"), rows)


def commands_text() -> str:
    """A section for each command: what it does and its options."""
    sections = []
    for name, command in commands().items():
        options = [parameter for parameter in command.params if isinstance(parameter, TyperOption)]
        arguments = [f" {each.name}".upper() for each in command.params if isinstance(each, TyperArgument)]
        section = f"## `livecomments {name}{''.join(arguments)}`\n\n{(command.help or '').strip()}\n"
        if options:
            rows = [(f"`{', '.join(option.opts)}`", _option_default(option), option.help or "") for option in options]
            section += "\n" + _table(("Option", "Default", "Meaning"), rows)
        sections.append(section)
    return "\n".join(sections)


def errors_table() -> str:
    """The codes, by status. What to do about one is written by hand into the page, and kept."""
    told = dict(_WHAT_TO_DO.findall((ROOT / "docs/ERRORS.md").read_text()))
    ordered = sorted(STATUS.items(), key=lambda item: (item[1][0], item[0]))
    rows = [(f"`{code}`", str(status), title, told.get(code, "")) for code, (status, title) in ordered]
    return _table(("Code", "Status", "Title", "What to do"), rows)


def values_table() -> str:
    """The values of the chart, in their order."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = []
    for path, given in leaves(schema, schema["properties"]):
        default = functools.reduce(lambda values, name: values.get(name, {}), path.split("."), defaults)
        shown = "" if default in ("", {}, []) else f"`{default if isinstance(default, str) else json.dumps(default)}`"
        rows.append((f"`{path}`", shown, given.get("description", "")))
    return _table(("Value", "Default", "Meaning"), rows)


GENERATED: Final[dict[str, Callable[[], str]]] = {
    "docs/CONFIG.md": settings_table,
    "docs/METRICS.md": metrics_table,
    "docs/COMMANDS.md": commands_text,
    "docs/ERRORS.md": errors_table,
    "helm/livecomments/README.md": values_table,
}


FRONT: Final = {
    "haproxy.cfg": ROOT / "infra/haproxy/haproxy.cfg",
    "haproxy.lua": ROOT / "infra/router/haproxy.lua",
    "partition.lua": ROOT / "infra/router/partition.lua",
}
"""By the name that it has in the chart."""


def written(text: str, generated: str) -> str:
    """`text` with `generated` between its marks.

    Raises:
        ValueError: a mark is missing.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"needs a line {BEGIN} and below it a line {END}")
    return f"{before}{BEGIN}\n\n{generated.strip()}\n\n{END}{after}"


def main() -> None:
    """Write all of them."""
    for path, generate in GENERATED.items():
        file = ROOT / path
        file.write_text(written(file.read_text(), generate()))
        print(f"{path}: written")
    for name, source in FRONT.items():
        (CHART / "front" / name).write_text(source.read_text())
    schema = CHART / "values.schema.json"
    schema.write_text(settings_schema.written(schema.read_text()))


def _metrics_of(module: Module) -> Iterator[Metric]:
    known = {member for library, member, _ in module.imports() if library in _METRIC_LIBRARIES} & KINDS
    for node in ast.walk(module.syntax):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known):
            continue
        given = dict(zip(("name", "documentation", "labelnames"), node.args, strict=False))
        given |= {keyword.arg: keyword.value for keyword in node.keywords if keyword.arg}
        try:
            name, meaning = ast.literal_eval(given["name"]), ast.literal_eval(given["documentation"])
            labels = ast.literal_eval(given["labelnames"]) if "labelnames" in given else ()
        except (KeyError, ValueError) as error:
            raise ValueError(f"{module.path}:{node.lineno}: name, meaning and labels must be literals") from error
        yield Metric(name, node.func.id, tuple(labels), meaning)


def _commands_of(command: object, prefix: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from _commands_of(inner, f"{prefix} {name}")
    elif isinstance(command, TyperCommand) and not command.hidden:
        yield prefix.strip(), command


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default in ("", None):
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _option_default(option: TyperOption) -> str:
    shown = option.show_default if isinstance(option.show_default, str) else option.default
    return "" if shown is None or shown is False or shown == "" else f"`{shown}`"


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(map(_cell, row)) for row in rows)]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    main()
