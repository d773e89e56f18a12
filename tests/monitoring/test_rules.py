"""Each alert fires when it should and stays quiet when it should, has a runbook, and reads what there is."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from infra.dashboards.boards import BOARDS
from livecomments.runtime.metrics import REGISTRY, BulkHistogram
from livecomments.web.problems import STATUS
from tests.docs_tables import commands, declared_metrics
from tests.monitoring.rules import CASES, ROOT, RULES, alerts, metrics_selected, selectors, written
from tests.tidy import Tree

_OF_EVERY_PROCESS: Final = {"up", "process_open_fds", "process_max_fds"}
"""Prometheus's own, and what its library tells of any process."""
_KEPT_BY_ITS_OWNER: Final = {
    "livecomments_build_info": "always 1",
    "livecomments_edge_viewers": "absent until the hub ticks, which ends the process when it fails",
    "livecomments_log_contract_differences": "absent until somebody compares",
    "livecomments_rotation_refused": "absent until somebody looks at the files, as long as it runs",
}
"""Gauges that are true without anybody who looks again and again."""


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    assert {case.alert for case in CASES} == set(alerts())


def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool; on Debian: apt-get install prometheus")
    shutil.copy(RULES, tmp_path / "rules.yaml")
    (tmp_path / "cases.yaml").write_text(written())
    done = subprocess.run(
        [promtool, "test", "rules", "cases.yaml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_leads_to_a_section_that_says_whom_it_wakes() -> None:
    page = (ROOT / "docs/RUNBOOKS.md").read_text()
    sections = dict(re.findall(r"^### (\w+)\n\*(Page|Ticket)\.\* ", page, re.MULTILINE))
    assert sections == {name: rule["labels"]["severity"].capitalize() for name, rule in alerts().items()}
    for name, rule in alerts().items():
        assert rule["annotations"]["runbook_url"] == f"docs/RUNBOOKS.md#{name.lower()}"
        assert rule["annotations"]["summary"]


def test_a_command_that_a_runbook_says_runs_as_it_stands() -> None:
    page = (ROOT / "docs/RUNBOOKS.md").read_text()
    said = [" ".join(span.split()) for span in re.findall(r"`livecomments ([^`]+)`", page)]
    assert said
    known = commands()
    for line in said:
        name = max((name for name in known if f"{line} ".startswith(f"{name} ")), key=len, default="")
        assert name, line
        for option in known[name].params:
            assert not option.required or set(option.opts) & set(line.split()), line


def test_every_row_of_what_to_watch_is_watched() -> None:
    page = (ROOT / "docs/OPERATING.md").read_text().split("## What to watch")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall(r"`((?:livecomments|process)_\w+)", cell)}
    assert len(cells) > 15
    assert named - metrics_selected() == set()


def test_no_rule_reads_a_gauge_that_is_0_when_nobody_looks() -> None:
    kinds = {metric.name: metric.kind for metric in declared_metrics(Tree(ROOT))}
    told_by_whoever_is_there = {name for name in metrics_selected() - _OF_EVERY_PROCESS if kinds[name] == "Gauge"}
    assert told_by_whoever_is_there == set(_KEPT_BY_ITS_OWNER)


def test_what_queries_select_by_is_there_to_be_selected() -> None:
    """A label that is gone, a value that is called otherwise, or a bound that is no bucket's: it matches nothing."""
    import livecomments_command.assembly.edge
    import livecomments_command.assembly.gateway
    import livecomments_command.assembly.stream  # noqa: F401 - each declares its metrics

    tree = Tree(ROOT)
    labels = {metric.name: set(metric.labels) for metric in declared_metrics(tree)}
    said = {
        node.value
        for module in tree.ours
        for node in ast.walk(module.syntax)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    groups = yaml.safe_load(RULES.read_text())["groups"]
    queries = [rule["expr"] for group in groups for rule in group["rules"]]
    queries += [
        query
        for board in BOARDS
        for panels in board.rows.values()
        for panel in panels
        for query in panel.queries.values()
    ]
    seen = 0
    for query in queries:
        for metric, values in selectors(query):
            bounds = set(values.pop("le", []))
            assert not bounds or {float(bound) for bound in bounds} <= bounds_of(metric), query
            assert values.keys() - {"instance", "job"} <= labels[metric], query
            assert {value for each in values.values() for value in each} <= said, query
            seen += len(values) + len(bounds)
    assert seen > 30


def bounds_of(metric: str) -> set[float]:
    """The bounds of a histogram's buckets, as its process has them."""
    made: Any = REGISTRY._names_to_collectors[metric]
    return set(made._bounds if isinstance(made, BulkHistogram) else made._upper_bounds)


def test_a_process_that_only_started_shows_no_gauge() -> None:
    """A 0 would say that somebody has looked; and a stream job follows nothing, so it has no bound of that."""
    code = (
        "import livecomments_command.assembly.embedded, livecomments_command.assembly.gateway\n"
        "import livecomments_command.assembly.edge, livecomments_command.assembly.stream\n"
        "import livecomments_command.probing.telling\n"
        "from livecomments.runtime.metrics import REGISTRY\n"
        "print(*(sample.name for one in REGISTRY.collect() if one.type == 'gauge' for sample in one.samples))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert [name for name in done.stdout.split() if name.startswith("livecomments_")] == []


def test_a_fault_of_ours_breaks_the_promise_of_a_post() -> None:
    (faults,) = set(re.findall(r'call="postComment",result=~"(?:done\|)?([^"]+)"', RULES.read_text()))
    assert set(faults.split("|")) == {code for code, (status, _) in STATUS.items() if status >= 500} - {
        "not_implemented",
        "version_not_supported",
    }
