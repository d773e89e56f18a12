"""A Prometheus sees the chart's rules with their times made shorter, and nothing else of them changed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from chaos.alerts import HURTS
from infra.local.prometheus import RULES, sped_up


def test_times_are_shorter_by_one_factor_and_all_else_stays() -> None:
    text = "expr: a[5m] > 300 and b offset 1h > 0\nfor: 2m\nfor: 15s\nrecord: x:rate5m"
    assert sped_up(text, 10) == "expr: a[30s] > 300 and b offset 360s > 0\nfor: 12s\nfor: 8s\nrecord: x:rate5m"
    assert sped_up(text, 1) == text


def test_the_rules_are_rules_then_too(tmp_path: Path) -> None:
    rules = sped_up(RULES.read_text(), 30)
    durations = re.compile(r"\[\d+\w\]|offset \d+\w|for: \d+\w")
    assert len(durations.findall(rules)) == len(durations.findall(RULES.read_text()))
    assert len(yaml.safe_load(rules)["groups"]) == len(yaml.safe_load(RULES.read_text())["groups"])
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool; on Debian: apt-get install prometheus")
    (tmp_path / "rules.yaml").write_text(rules)
    done = subprocess.run(
        [promtool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_faults_must_fire_are_alerts() -> None:
    alerts = {rule.get("alert") for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    assert {alert for hurt in HURTS for alert in hurt.fires} <= alerts
