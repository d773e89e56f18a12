"""Helm, however it can be had."""

import importlib.util
import os
import shutil
from collections.abc import Iterator

import pytest

from tests.helm.chart import Helm, HelmLibrary, HelmProgram


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that renders needs Helm, whether it says so or not."""
    for item in items:
        if "helm" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.helm)


@pytest.fixture(scope="session")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Helm]:
    """The program that HELM names; otherwise the pinned library, so that all see the same; otherwise any `helm`."""
    named = os.environ.get("HELM")
    if not named and importlib.util.find_spec("helm_python"):
        library = HelmLibrary()
        yield library
        library.close()
    elif found := named or shutil.which("helm"):
        yield HelmProgram(found, tmp_path_factory.mktemp("helm"))
    else:
        pytest.skip("there is no Helm: install the program helm, version 4")
