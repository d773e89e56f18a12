"""What the pages say is what the code does, and each check bites."""

import re
from pathlib import Path

import pytest
from typer.core import TyperOption

from infra import asyncapi
from livecomments_command.settings import KEYS
from tests.docs_rules import commands_named, dependencies_named, links, metrics_named, settings_named, targets_named
from tests.docs_tables import BEGIN, END, GENERATED, commands, declared_metrics, errors_table, written
from tests.tidy import Tree

ROOT = Path(__file__).parents[1]
SETTINGS = {key for key in KEYS if not key.endswith("_FILE")}
COMMANDS = {
    name: [option for each in command.params if isinstance(each, TyperOption) for option in each.opts]
    for name, command in commands().items()
}


def tree(root: Path, files: dict[str, str]) -> Tree:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return Tree(root)


@pytest.mark.parametrize("path", GENERATED)
def test_a_table_says_what_the_code_says(path: str) -> None:
    text = (ROOT / path).read_text()
    assert text == written(text, GENERATED[path]()), f"{path} is behind the code: run `make docs`"


def test_the_contract_of_the_topics_says_what_the_code_says() -> None:
    assert asyncapi.FILE.read_text() == asyncapi.written(), "run `make docs`"


def test_every_setting_metric_and_command_is_on_its_page() -> None:
    assert all(f"`{name}`" in (ROOT / "docs/CONFIG.md").read_text() for name in SETTINGS)
    assert all(f"`{metric.name}`" in (ROOT / "docs/METRICS.md").read_text() for metric in declared_metrics(Tree(ROOT)))
    assert all(f"`livecomments {name}" in (ROOT / "docs/COMMANDS.md").read_text() for name in COMMANDS)
    assert SETTINGS
    assert COMMANDS


def test_each_error_code_says_what_to_do() -> None:
    silent = [line.split("|")[1].strip() for line in errors_table().splitlines() if line.endswith("|  |")]
    assert not silent, f"write it into the last column of docs/ERRORS.md: {', '.join(silent)}"


def test_decisions_say_what_they_cost_and_when_to_look_again() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:5] for page in pages] == [f"{number:04}-" for number in range(1, len(pages) + 1)]
    for number, page in enumerate(pages, 1):
        text = page.read_text()
        assert text.startswith(f"# {number}. "), page
        assert re.findall(r"^\*\*([^*]+)\*\*", text, re.MULTILINE) == [
            "Context.",
            "Decision.",
            "Why.",
            "What it costs.",
            "Look at it again when",
        ], page


def test_pages_name_only_what_exists() -> None:
    checkout = Tree(ROOT)
    broken = [
        *links(checkout),
        *settings_named(checkout, set(KEYS)),
        *metrics_named(checkout, {metric.name for metric in declared_metrics(checkout)}),
        *commands_named(checkout, COMMANDS),
        *targets_named(checkout),
        *dependencies_named(checkout),
    ]
    assert not broken, "\n".join(broken)


def test_metrics_are_named_by_room_thing_and_unit() -> None:
    metrics = declared_metrics(Tree(ROOT))
    assert len({metric.name for metric in metrics}) == len(metrics)
    for metric in metrics:
        assert metric.name.startswith("livecomments_")
        assert metric.name.endswith("_total") == (metric.kind == "Counter"), metric.name
        assert "Histogram" not in metric.kind or metric.name.endswith(("_seconds", "_bytes", "_records")), metric.name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("See [it](GONE.md).", "GONE.md is not there"),
        ("[it]: ../GONE.md", "../GONE.md is not there"),
        ("See [it](OTHER.md#what-it-isnt).", "docs/OTHER.md has no heading #what-it-isnt"),
        ("See [it](#nowhere).", "docs/PAGE.md has no heading #nowhere"),
        ("See [it](OTHER.md#what-it-is-run), [out](https://example.org/x) and `[code](x)`.", ""),
        ("```\n[code](x)\n```", ""),
    ],
)
def test_a_link_leads_somewhere(tmp_path: Path, text: str, said: str) -> None:
    broken = links(tree(tmp_path, {"docs/PAGE.md": text, "docs/OTHER.md": "# What it is: `run`"}))
    assert [said in sentence for sentence in broken] == ([True] if said else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Set `LIVECOMMENTS_PORTS`.", "LIVECOMMENTS_PORTS is no setting"),
        ("LIVECOMMENTS_KAFKA: x\n", ""),
        ("All of `LIVECOMMENTS_JWT_*`.", ""),
        ("All of `LIVECOMMENTS_NO_*`.", "LIVECOMMENTS_NO_ is no setting"),
    ],
)
def test_a_setting_exists(tmp_path: Path, text: str, said: str) -> None:
    known = {"LIVECOMMENTS_KAFKA", "LIVECOMMENTS_JWT_SECRET"}
    broken = settings_named(tree(tmp_path, {"helm/values.yaml": text}), known)
    assert [said in sentence for sentence in broken] == ([True] if said else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate(livecomments_edge_viewer[5m])", "livecomments_edge_viewer is no metric"),
        ("rate(livecomments_edge_pass_seconds_bucket[5m])", ""),
        ("livecomments_edge_*", ""),
    ],
)
def test_a_metric_exists(tmp_path: Path, text: str, said: str) -> None:
    known = {"livecomments_edge_viewers", "livecomments_edge_pass_seconds"}
    broken = metrics_named(tree(tmp_path, {"docs/OPERATING.md": text}), known)
    assert [said in sentence for sentence in broken] == ([True] if said else [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("`livecomments run` and `livecomments walk`", "no command walk"),
        ("```\n$ LIVECOMMENTS_PORT=1 .venv/bin/livecomments run --prot 80 && echo\n```", "run has no option --prot"),
        ("```\nlivecomments run \\\n  --port=80 --help # --no\n```", ""),
        ("The livecomments walk is not code. `livecomments run`", ""),
        ("Nothing.", "no page names the command livecomments run"),
    ],
)
def test_a_command_exists_and_is_named(tmp_path: Path, text: str, said: str) -> None:
    broken = commands_named(tree(tmp_path, {"README.md": text}), {"run": ["--port"]})
    assert [said in sentence for sentence in broken] == ([True] if said else [])


def test_a_make_target_exists(tmp_path: Path) -> None:
    planted = tree(
        tmp_path, {"README.md": "`make run ARGS=x`, `make haste`; make do", "Makefile": "run: install\n\tx\n"}
    )
    assert targets_named(planted) == ["README.md:1: make has no target haste"]


def test_a_dependency_has_its_reason_and_a_reason_its_dependency(tmp_path: Path) -> None:
    project = '[project]\ndependencies = ["orjson>=3", "rich"]\n[dependency-groups]\ndev = ["ruff"]\n'
    project += 'all = [{include-group = "dev"}]'
    page = "| `orjson` | JSON |\n| `rich` |  |\n| `left-pad` | Pads. |\n| `ruff` | Lints. |\n"
    assert dependencies_named(tree(tmp_path, {"pyproject.toml": project, "docs/DEPENDENCIES.md": page})) == [
        "docs/DEPENDENCIES.md: no reason for rich",
        "docs/DEPENDENCIES.md: left-pad is no dependency",
    ]


def test_only_what_is_between_the_marks_is_written() -> None:
    assert written(f"a\n{BEGIN}\nold\n{END}\nz", "new\n") == f"a\n{BEGIN}\n\nnew\n\n{END}\nz"
    with pytest.raises(ValueError, match="needs a line"):
        written("a", "new")


@pytest.mark.parametrize("library", ["livecomments.runtime.metrics", "prometheus_client"])
def test_metrics_are_found_and_other_counters_are_not(tmp_path: Path, library: str) -> None:
    planted = tree(
        tmp_path,
        {
            "livecomments_gateway/a.py": f"from {library} import Counter\n"
            'x = Counter("livecomments_x_total", "X.", ["y"])',
            "livecomments_gateway/b.py": 'from collections import Counter\nx = Counter("abc")',
        },
    )
    assert [tuple(metric) for metric in declared_metrics(planted)] == [
        ("livecomments_x_total", "Counter", ("y",), "X.")
    ]


def test_a_metric_whose_name_nobody_can_list_is_refused(tmp_path: Path) -> None:
    text = 'from prometheus_client import Gauge\nname = "x"\ny = Gauge(f"livecomments_{name}", "Y.")'
    with pytest.raises(ValueError, match=r"livecomments_gateway/a.py:3: name, meaning and labels must be literals"):
        declared_metrics(tree(tmp_path, {"livecomments_gateway/a.py": text}))
