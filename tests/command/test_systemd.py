"""The unit in infra/systemd says what the program does."""

import configparser
from pathlib import Path

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
