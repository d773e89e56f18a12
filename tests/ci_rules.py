"""A test that did not run must be heard of: in CI it fails, elsewhere the last lines say it.

A test skips when what it needs (a server, a browser, a program) cannot be had. On a developer's machine that is a
convenience; in CI, which is where all are promised to run, it would be green for nothing. Hooks of pytest;
`tests/conftest.py` takes them in.
"""

import os
from collections import defaultdict
from collections.abc import Generator
from typing import Any, Final

import pytest

MAY_SKIP: Final = "not_everywhere"
"""The marker of a test of what not every machine has, and nobody can install."""
_NOT_RUN: Final = "not run"
"""The property of a report that such a test was skipped: reports travel between processes, a stash does not."""


def in_ci() -> bool:
    """Whether skips are failures here."""
    return os.environ.get("CI", "").lower() in {"1", "true"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn the skip of a test into a failure, or remember it."""
    report = yield
    if report.skipped and item.get_closest_marker(MAY_SKIP) is None and not hasattr(report, "wasxfail"):
        _judge(report)
        report.user_properties.append((_NOT_RUN, True))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself as a whole: what it would have marked is not known."""
    report = yield
    if report.skipped:
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Last of all, after pytest's own summary, a paragraph for each reason why something did not run."""
    yield
    by_reason = defaultdict(set)
    for report in terminalreporter.getreports("skipped"):
        if isinstance(report, pytest.CollectReport) or (_NOT_RUN, True) in report.user_properties:
            by_reason[_reason(report.longrepr)].add(report.nodeid)
    for reason, node_ids in by_reason.items():
        terminalreporter.write_line(f"NOT RUN: {len(node_ids)}, because {reason}", red=True, bold=True)
        for node_id in sorted(node_ids):
            terminalreporter.write_line(f"    {node_id}", red=True)


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    if in_ci():
        reason = _reason(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"NOT RUN: {report.nodeid} was skipped, which is a failure in CI: {reason}"


def _reason(longrepr: Any) -> str:
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")
