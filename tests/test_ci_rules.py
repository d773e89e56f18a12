"""That a live test which did not run fails in CI, and is named in the last lines elsewhere. Each case is a real run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS_A_SERVER = "import pytest\n@pytest.mark.{marker}\ndef test_it():\n    pytest.skip('no java found')\n"
IN_A_FIXTURE = (
    "import pytest\n@pytest.fixture(scope='session')\ndef server():\n    pytest.skip('no java found')\n"
    "@pytest.mark.live\ndef test_it(server): ...\n"
)
BY_CONDITION = (
    "import pytest\n@pytest.mark.live\n@pytest.mark.skipif(True, reason='no java found')\ndef test_it(): ...\n"
)
WHOLE_MODULE = "import pytest\npytest.skip('no java found', allow_module_level=True)\n"
NEEDS_A_PROGRAM = "import pytest\ndef test_it():\n    pytest.skip('no java found')\n"
OTHERWISE = (
    "import pytest\n@pytest.mark.not_everywhere\ndef test_it():\n    pytest.skip('not on this platform')\n"
    "def test_other(): ...\n"
)


def run(directory: Path, test: str, *arguments: str, ci: str) -> subprocess.CompletedProcess[str]:
    """pytest on one test file, with the rules and nothing else of ours."""
    (directory / "test_planted.py").write_text(test)
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n    live:\n    browser:\n    not_everywhere:\n")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "tests.ci_rules", "-p", "no:cacheprovider", *arguments],
        env=os.environ | {"CI": ci, "PYTHONPATH": str(ROOT)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "test",
    [
        NEEDS_A_SERVER.format(marker="live"),
        NEEDS_A_SERVER.format(marker="browser"),
        NEEDS_A_PROGRAM,
        IN_A_FIXTURE,
        BY_CONDITION,
    ],
    ids=["live", "browser", "program", "fixture", "condition"],
)
def test_in_ci_a_skipped_test_fails_with_its_reason(tmp_path: Path, test: str) -> None:
    done = run(tmp_path, test, "-n", "2", ci="true")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "which is a failure in CI: no java found" in done.stdout


def test_in_ci_a_module_that_skips_itself_fails(tmp_path: Path) -> None:
    done = run(tmp_path, WHOLE_MODULE, ci="true")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "which is a failure in CI: no java found" in done.stdout


@pytest.mark.parametrize("processes", [(), ("-n", "2")], ids=["one process", "two processes"])
@pytest.mark.parametrize("test", [NEEDS_A_SERVER.format(marker="live"), IN_A_FIXTURE], ids=["live", "fixture"])
def test_elsewhere_the_last_lines_name_what_did_not_run(tmp_path: Path, test: str, processes: tuple[str, ...]) -> None:
    done = run(tmp_path, test, *processes, ci="")
    assert done.returncode == pytest.ExitCode.OK
    assert done.stdout.splitlines()[-3:-1] == ["NOT RUN: 1, because no java found", "    test_planted.py::test_it"]


def test_elsewhere_a_module_that_skips_itself_is_named_once(tmp_path: Path) -> None:
    done = run(tmp_path, WHOLE_MODULE, "-n", "2", ci="")
    assert done.stdout.splitlines()[-3:-1] == ["NOT RUN: 1, because no java found", "    test_planted.py"]


def test_other_skips_stay_skips_in_ci(tmp_path: Path) -> None:
    done = run(tmp_path, OTHERWISE, ci="true")
    assert done.returncode == pytest.ExitCode.OK
    assert "1 passed, 1 skipped" in done.stdout


def test_a_run_that_finds_no_test_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "", ci="true").returncode == pytest.ExitCode.NO_TESTS_COLLECTED
