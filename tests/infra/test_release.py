"""What a release is made of, and when there is none."""

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from infra.release.archives import chart_files, context_files, packed
from infra.release.sbom import bill_of_materials
from infra.release.versions import problems, told_versions

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements/distributed.lock").read_text()
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.0 - 2026-12-01\n\n### Added\n- x\n\n## 1.1.0 - 2026-11-01\n"
TOLD = {"pyproject.toml: version": "1.2.0", "Chart.yaml: version": "1.2.0"}


def names_in(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return opened.getnames()


def tracked(*rooms: str) -> list[Path]:
    found = [path for room in rooms for path in (ROOT / room).rglob("*")]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def test_all_parts_are_of_one_version() -> None:
    assert len(set(told_versions(ROOT).values())) == 1


@pytest.mark.parametrize("changelog", [CHANGELOG, CHANGELOG.replace("## Unreleased\n\n", "")])
def test_what_is_in_step_may_be_released(changelog: str) -> None:
    assert problems(TOLD, changelog, ["1.1.0", "1.2.0"]) == []


@pytest.mark.parametrize(
    ("told", "changelog", "released", "said"),
    [
        (TOLD | {"Chart.yaml: version": "1.1.0"}, CHANGELOG, ["1.2.0"], "Chart.yaml: version is 1.1.0"),
        (TOLD, CHANGELOG.replace("1.2.0", "1.3.0"), ["1.2.0"], "has no section `## 1.2.0"),
        (TOLD, CHANGELOG.replace(" - 2026-12-01", ""), ["1.2.0"], "of which day 1.2.0 is"),
        (TOLD, CHANGELOG.replace("## 1.1.0", "## x").replace("Unreleased", "1.3.0"), ["1.2.0"], "tells of 1.3.0 above"),
        (TOLD, CHANGELOG, ["1.1.0"], "schemas/released has no 1.2.0.json"),
    ],
)
def test_what_is_not_is_told(told: dict[str, str], changelog: str, released: list[str], said: str) -> None:
    (problem,) = problems(told, changelog, released)
    assert said in problem


def test_an_archive_is_the_same_each_time(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("x")
    archives = []
    for mode in (0o644, 0o600):
        file.chmod(mode)
        archives.append(packed({"b": file, "a": file}, 1_700_000_000))
    assert archives[0] == archives[1]
    assert names_in(archives[0]) == ["a", "b"]


def test_the_chart_is_packed_as_helm_does() -> None:
    names = chart_files(tracked("helm"), ROOT).keys()
    assert {"livecomments/Chart.yaml", "livecomments/values.schema.json", "livecomments/front/haproxy.cfg"} <= names
    assert not [name for name in names if name.startswith("livecomments/ci/")]


def test_the_context_has_what_the_dockerfile_copies() -> None:
    every = [ROOT / "Dockerfile", ROOT / ".dockerignore", ROOT / "README.md", ROOT / "pyproject.toml", ROOT / "LICENSE"]
    names = context_files([*every, *tracked("gateway", "infra", "requirements", "tests/infra")], ROOT).keys()
    assert {"Dockerfile", "pyproject.toml", "requirements/distributed.lock", "README.md"} <= names
    assert [name for name in names if name.startswith("gateway/")]
    assert not [name for name in names if name.startswith(("tests/", "infra/haproxy/", "requirements/dev"))]


def test_the_bill_has_every_package_that_is_locked_once() -> None:
    bill = bill_of_materials("1.2.0", LOCK, "2026-12-01T00:00:00+00:00")
    locked = re.findall(r"^([\w.-]+)==([^\s;]+)", LOCK, re.MULTILINE)
    assert [(each["name"], each["version"]) for each in bill["components"]] == locked
    references = [each["bom-ref"] for each in bill["components"]]
    assert len(set(references)) == len(references)
    assert json.dumps(bill) == json.dumps(bill_of_materials("1.2.0", LOCK, "2026-12-01T00:00:00+00:00"))


def test_a_lock_that_is_not_understood_is_no_bill() -> None:
    with pytest.raises(ValueError, match="not understood"):
        bill_of_materials("1.2.0", LOCK + "-e ./odd\n", "2026-12-01T00:00:00+00:00")
