"""The generators, brought once into an environment of their own: none of them is a dependency of ours."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from infra.local.jars import locked
from tests.npm import bring_packages

JS: Final = Path(__file__).with_name("js")
_HOME: Final = Path(__file__).parents[2] / ".run" / "generators"
_PYTHON_CLIENT: Final = "0.29.1"
_GENERATOR: Final = "7.17.0"
_NEEDED_BY_CLIENTS: Final = ("urllib3>=2.1,<3", "python-dateutil>=2.8.2", "pydantic>=2", "typing-extensions>=4.7")
"""What a client of openapi-generator says that it needs."""
_BRING_TIMEOUT_S: Final = 240
RUN_TIMEOUT_S: Final = 90
"""Of one generator or one client, a JVM on a busy machine included."""


class ToolMissing(Exception):
    """A generator cannot be had here; the text says what to do."""


def run(*command: str | Path, cwd: Path | None = None, timeout_s: float = RUN_TIMEOUT_S) -> str:
    """Run a program to its end; what it said. Raises AssertionError: it failed."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2_000:]}"
    return done.stdout


def python() -> Path:
    """Bring the Python of generators and clients. Raises ToolMissing."""
    home = _HOME / f"python-{_PYTHON_CLIENT}-{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = home / "bin" / "python"
    with locked(_HOME / "python.lock"):
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            _bring(sys.executable, "-m", "venv", home)
            _bring(
                *(interpreter, "-m", "pip", "install", "--quiet"),
                *(f"openapi-python-client=={_PYTHON_CLIENT}", *_NEEDED_BY_CLIENTS),
            )
            (home / "ready").touch()
    return interpreter


def generator_jar() -> Path:
    """Bring openapi-generator. Raises ToolMissing."""
    jar = _HOME / f"openapi-generator-cli-{_GENERATOR}.jar"
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        raise ToolMissing("No java or mvn here: apt-get install openjdk-17-jre-headless maven")
    with locked(_HOME / "jar.lock"):
        if not jar.exists():
            artifact = f"-Dartifact=org.openapitools:openapi-generator-cli:{_GENERATOR}"
            _bring(maven, "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={_HOME}")
    return jar


def node() -> str:
    """Bring the packages of `js/`; the path of Node. Raises ToolMissing."""
    found = shutil.which("node")
    if reason := bring_packages(JS):
        raise ToolMissing(reason)
    assert found is not None
    return found


def _bring(*command: str | Path) -> None:
    try:
        run(*command, timeout_s=_BRING_TIMEOUT_S)
    except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(f"A generator of clients cannot be brought: {error}") from error
