"""The unit in infra/systemd says what the program does."""

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from livecomments.runtime.shared_settings import DrainSettings
from livecomments_command.__main__ import app
from livecomments_schemas.errors import StartRefused
from tests.helm.chart import ROOT

UNIT = ROOT / "infra/systemd/livecomments.service"
REST_S = 15
"""After the drain, as everywhere."""


def service() -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's documentation says
    parser.read(UNIT)
    return parser["Service"]


def test_it_starts_what_there_is_and_gives_it_the_time_that_it_takes_to_end() -> None:
    program, command, *options = service()["ExecStart"].split()
    assert Path(program).name == "livecomments"
    known = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}  # type: ignore[attr-defined]  # of a group
    assert {option for option in options if option.startswith("--")} <= known
    assert int(service()["TimeoutStopSec"]) == DrainSettings.drain_s + REST_S
    assert int(service()["RestartPreventExitStatus"]) == StartRefused.exit_code
    assert options[options.index("--data-dir") + 1] == f"/var/lib/{service()['StateDirectory']}"


@pytest.mark.live
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
@pytest.mark.parametrize(("planted", "said"), [("", ""), ("ProtectSistem=strict\n", "ProtectSistem")])
def test_systemd_knows_every_line_of_it(tmp_path: Path, planted: str, said: str) -> None:
    """By its own checker, with a program that is there."""
    text = UNIT.read_text().replace("/opt/livecomments/bin/livecomments", "/bin/true")
    copy = tmp_path / UNIT.name
    copy.write_text(text.replace("[Service]\n", f"[Service]\n{planted}"))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert bool(told) == bool(said), done.stderr
    assert said in "".join(told)
