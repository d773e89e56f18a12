"""What is missing, and jars gathered once; scripts stand for java and Maven."""

from pathlib import Path

import pytest

from infra.local.errors import ServerUnavailable
from infra.local.jars import class_path, why_unavailable

MAVEN = """#!/bin/sh
for each; do case "$each" in -DoutputDirectory=*) directory="${each#*=}";; esac; done
mkdir -p "$directory"
echo "$@" > "$directory/some.jar"
echo run >> "$(dirname "$0")/runs"
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder of PATH; `java` and `mvn` are what a test puts there."""
    path = tmp_path / "bin"
    path.mkdir()
    monkeypatch.setenv("PATH", f"{path}:/bin")
    for name in ("java", "mvn"):
        put(path / name, "#!/bin/sh\nexit 127\n")
    return path


def put(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def gather(tmp_path: Path) -> str:
    return class_path("kafka", tmp_path / "lib dir", lambda step: None)


def test_jars_are_gathered_once_into_a_folder_of_their_kind(tmp_path: Path, programs: Path) -> None:
    put(programs / "mvn", MAVEN)
    assert gather(tmp_path) == gather(tmp_path) == f"{tmp_path}/lib dir/kafka/*"
    assert "-P kafka dependency:copy-dependencies" in (tmp_path / "lib dir/kafka/some.jar").read_text()
    assert (programs / "runs").read_text() == "run\n"


def test_jars_of_another_pom_are_gathered_anew_and_the_old_ones_removed(tmp_path: Path, programs: Path) -> None:
    put(programs / "mvn", MAVEN)
    jar_dir = tmp_path / "lib dir/kafka"
    jar_dir.mkdir(parents=True)
    (jar_dir / "pom.sha256").write_text("of another pom")
    (jar_dir / "old.jar").touch()
    gather(tmp_path)
    assert {file.name for file in jar_dir.iterdir()} == {"some.jar", "pom.sha256"}


def test_a_gathering_that_failed_says_why_and_is_tried_again(tmp_path: Path, programs: Path) -> None:
    put(programs / "mvn", "#!/bin/sh\necho '[INFO] x'; echo '[ERROR] no such host'; echo '[ERROR] see help'; exit 1\n")
    with pytest.raises(ServerUnavailable, match=r"could not gather the jars of kafka: \[ERROR\] no such host$"):
        gather(tmp_path)
    put(programs / "mvn", MAVEN)
    assert gather(tmp_path)


@pytest.mark.parametrize(("version", "fits"), [("11.0.2", False), ("17.0.15", True), ("21", True), ("25.0.2", False)])
def test_java_must_be_of_a_version_both_servers_run_on(
    tmp_path: Path, programs: Path, version: str, fits: bool
) -> None:
    put(programs / "java", f"#!/bin/sh\necho 'openjdk version \"{version}\" 2026-01-01' >&2\n")
    reason = why_unavailable(tmp_path)
    assert (reason is None) == fits
    if reason is not None:
        assert reason.startswith(f"The java found is version {version.split('.')[0]}: install a JDK from 17 to 23")


def test_without_java_or_maven_the_reason_says_what_to_install(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(programs))
    (programs / "mvn").unlink()
    put(programs / "java", "#!/bin/sh\necho 'openjdk version \"17\"' >&2\n")
    assert str(why_unavailable(tmp_path)).startswith("No mvn found: install a JDK")
    with pytest.raises(ServerUnavailable, match="No mvn found"):
        gather(tmp_path)
    (programs / "java").unlink()
    assert str(why_unavailable(tmp_path)).startswith("No java found: install a JDK")
