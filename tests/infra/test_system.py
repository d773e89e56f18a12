"""What tests need beside Python is listed once, and brought or told."""

import re
import subprocess
from pathlib import Path
from typing import Final

from tests.tidy import Tree

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = ROOT / "requirements/system.sh"
ROWS: Final = SCRIPT.read_text().split("needs='")[1].split("'")[0]
LISTED: Final = re.findall(r"^(\S+) (\S+) (.*tests.*)$", ROWS, re.MULTILINE)
SAME: Final = {"openjdk-17-jre-headless": "openjdk-17-jdk-headless", "nginx": "nginx-light"}
"""Who needs less is content with more, and the other way round."""


def told(path: str) -> str:
    """What it says where only the programs of `path` are to be found; it installs nothing."""
    return subprocess.run(
        ["/bin/sh", SCRIPT, "tell"], env={"PATH": path}, check=True, capture_output=True, text=True
    ).stderr


def test_what_a_skipped_test_asks_for_is_in_the_list() -> None:
    asked: set[str] = set()
    for module in Tree(ROOT).tests:
        if not module.path.endswith("test_system.py"):
            for packages in re.findall(r"apt-get install ((?:[a-z][a-z0-9.-]+ ?)+)", module.text):
                asked |= {package.rstrip(".") for package in packages.split()}
    programs = (ROOT / "tests/conformance/programs.py").read_text()
    asked |= set(re.findall(r'\("\w+", "([a-z0-9.-]+)"\)', programs))
    assert {"golang-go", "npm"} <= asked
    assert {SAME.get(package, package) for package in asked} <= {package for _, package, _ in LISTED}


def test_the_tests_it_names_are_there() -> None:
    assert LISTED
    for _, _, tests in LISTED:
        for folder in re.findall(r"tests/\w+", tests):
            assert (ROOT / folder).is_dir(), folder


def test_on_a_bare_machine_it_says_what_is_skipped_and_the_one_command(tmp_path: Path) -> None:
    said = told(str(tmp_path))
    assert "without golang-go: tests/conformance" in said
    command = said.splitlines()[-1]
    assert command.startswith("To bring what they need: sudo apt-get install --no-install-recommends ")
    assert {"golang-go", "maven", "chromium"} <= set(command.split())


def test_where_a_program_is_its_package_is_not_asked_for(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\n")
    go.chmod(0o755)
    assert "golang-go" not in told(str(tmp_path))
    assert "maven" in told(str(tmp_path))
