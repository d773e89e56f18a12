"""Helm, however it can be had."""

import importlib.util
import os
import shutil
import sys

import pytest

from tests.helm.chart import Helm


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that renders needs Helm, whether it says so or not."""
    for item in items:
        if "helm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.helm)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """The program that HELM names; otherwise the pinned library, so that all see the same; otherwise any `helm`."""
    if named := os.environ.get("HELM"):
        command = [named]
    elif importlib.util.find_spec("helm_python"):
        command = [sys.executable, "-m", "tests.helm.program"]
    elif found := shutil.which("helm"):
        command = [found]
    else:
        pytest.skip("there is no Helm: install the program helm, version 4")
    return Helm(command, tmp_path_factory.mktemp("helm"))
