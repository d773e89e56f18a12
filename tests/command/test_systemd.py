"""The units in infra/systemd say what the program does."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from livecomments.runtime.shared_settings import DrainSettings
from livecomments_command.__main__ import app
from livecomments_command.settings import KEYS
from livecomments_schemas.errors import StartRefused
from tests.helm.chart import ROOT

UNIT = ROOT / "infra/systemd/livecomments.service"
TEMPLATE = ROOT / "infra/systemd/livecomments@.service"
REST_S = 15
"""After the drain, as everywhere."""


def service(unit: Path = UNIT) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser's documentation says
    parser.read(unit)
    return parser["Service"]


def test_it_starts_what_there_is_and_gives_it_the_time_that_it_takes_to_end() -> None:
    program, command, *options = service()["ExecStart"].split()
    assert Path(program).name == "livecomments"
    known = {option for parameter in get_command(app).commands[command].params for option in parameter.opts}  # type: ignore[attr-defined]  # of a group
    assert {option for option in options if option.startswith("--")} <= known
    assert int(service()["TimeoutStopSec"]) == DrainSettings.drain_s + REST_S
    assert int(service()["RestartPreventExitStatus"]) == StartRefused.exit_code
    assert options[options.index("--data-dir") + 1] == f"/var/lib/{service()['StateDirectory']}"


def test_the_template_starts_each_process_that_it_names() -> None:
    text = TEMPLATE.read_text()
    named = re.findall(r"\w+", text.split("@:")[1].split(".")[0].replace("\n#", ""))
    processes = {"gateway", "edge", "stream", "counts", "clean"}
    assert processes <= set(named)
    assert processes <= get_command(app).commands.keys()  # type: ignore[attr-defined]  # of a group
    assert service(TEMPLATE)["ExecStart"].split()[1:] == ["%i"]
    assert set(re.findall(r"LIVECOMMENTS_\w+", text)) <= KEYS | {"LIVECOMMENTS_DRAIN_S"}
    assert int(service(TEMPLATE)["TimeoutStopSec"]) == DrainSettings.drain_s + REST_S
    hardened = UNIT.read_text().split("LimitNOFILE")[1]
    assert text.split("LimitNOFILE")[1] == hardened, "what one may do the others may"


@pytest.mark.live
@pytest.mark.parametrize("unit", [UNIT, TEMPLATE], ids=lambda unit: unit.name)
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="there is no systemd-analyze")
@pytest.mark.parametrize(("planted", "said"), [("", ""), ("ProtectSistem=strict\n", "ProtectSistem")])
def test_systemd_knows_every_line_of_it(tmp_path: Path, unit: Path, planted: str, said: str) -> None:
    """By its own checker, with a program that is there."""
    text = unit.read_text().replace("/opt/livecomments/bin/livecomments", "/bin/true")
    copy = tmp_path / unit.name.replace("@.", "@counts.")
    copy.write_text(text.replace("[Service]\n", f"[Service]\n{planted}"))
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = [line for line in done.stderr.splitlines() if copy.name in line]
    assert bool(told) == bool(said), done.stderr
    assert said in "".join(told)
