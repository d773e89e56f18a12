"""What must agree before anything is made."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import yaml

_SECTION: Final = re.compile(r"^## (\S+)(?: - (\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


def version_of(root: Path) -> str:
    """Return the version of a checkout, as its pyproject.toml says."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert isinstance(version, str)
    return version


def told_versions(root: Path) -> dict[str, str]:
    """Return every place that tells the version, and which it tells."""
    chart = yaml.safe_load((root / "helm/livecomments/Chart.yaml").read_text())
    npm = json.loads((root / "clients/js/package.json").read_text())
    lock = json.loads((root / "clients/js/package-lock.json").read_text())
    return {
        "pyproject.toml: version": version_of(root),
        "helm/livecomments/Chart.yaml: version": chart["version"],
        "helm/livecomments/Chart.yaml: appVersion": chart["appVersion"],
        "clients/js/package.json: version": npm["version"],
        "clients/js/package-lock.json: version": lock["version"],
    }


def problems(told: Mapping[str, str], changelog: str, released: list[str]) -> list[str]:
    """Return why these make no release, a sentence each.

    Args:
        told: see `told_versions`.
        changelog: the text of CHANGELOG.md.
        released: of which versions `schemas/released` holds what was promised.
    """
    (first, version), *others = told.items()
    found = [f"{place} is {other}, and {first} is {version}." for place, other in others if other != version]
    sections = _SECTION.findall(changelog)
    dates = dict(sections)
    if version not in dates:
        found.append(f"CHANGELOG.md has no section `## {version} - YYYY-MM-DD`.")
    elif not dates[version]:
        found.append(f"CHANGELOG.md does not say of which day {version} is: `## {version} - YYYY-MM-DD`.")
    elif (place := [name for name, _ in sections].index(version)) != (sections[0][0] == "Unreleased"):
        found.append(f"CHANGELOG.md tells of {sections[place - 1][0]} above {version}.")
    if version not in released:
        found.append(f"schemas/released has no {version}.json: python -m tests.schemas.released {version}")
    return found
