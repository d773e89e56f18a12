"""Debian's Prometheus with the chart's rules, on the processes of a stack; its times can be made shorter.

`for:`, the windows of rates and offsets are divided by `faster`, so that an hour of a rule passes in minutes. What a
rule compares with (30 s behind) is as it is: processes take their time whoever looks.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from urllib.request import urlopen

import yaml

from infra.dashboards.picture import Series
from infra.local.errors import ServerUnavailable
from infra.local.jars import ROOM
from infra.local.lifecycle import Command, Server
from infra.local.readiness import probe_http

RULES: Final = ROOM.parents[1] / "helm/livecomments/monitoring/rules.yaml"
EVERY_S: Final = 2
"""Between two scrapes, and two looks at the rules."""
JOB: Final = "livecomments"
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION: Final = re.compile(r"(\[|\boffset |\bfor: )(\d+)([smhd])(\]|\b)")
_TIMEOUT_S: Final = 10.0
_MARK: Final = ("--web.page-title=livecomments.local=[{}]",)


def sped_up(rules: str, faster: float) -> str:
    """Return rules whose windows, offsets and `for:` are `faster` times as short, but never below four scrapes."""

    def shorter(found: re.Match[str]) -> str:
        seconds = max(4 * EVERY_S, round(int(found[2]) * _SECONDS[found[3]] / faster))
        return f"{found[1]}{seconds}s{found[4]}"

    return _DURATION.sub(shorter, rules) if faster != 1 else rules


class Prometheus(Server):
    """One, which scrapes what `targets` names at its start.

    Args:
        data_dir: see `Server`.
        targets: where to scrape, 'host:port', by what the process is called.
        faster: how many times as fast as it is the rules see time.
    """

    _first = "scrape"

    def __init__(self, data_dir: Path, targets: Callable[[], Mapping[str, str]], faster: float = 1.0) -> None:
        super().__init__("prometheus", data_dir, _MARK)
        self._targets = targets
        self._faster = faster

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of its API."""
        words = "&".join(f"{name}={quote(value)}" for name, value in query.items())
        with urlopen(f"http://{self.address}/api/v1/{path}?{words}", timeout=_TIMEOUT_S) as answer:
            return json.load(answer)["data"]

    def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {one["labels"]["alertname"] for one in self.ask("alerts")["alerts"] if one["state"] == "firing"}

    def series(self, query: str, begin: float, end: float, points: int = 120) -> list[Series]:
        """Return what a query gives between two times, in seconds of the epoch; `$__rate_interval` is ten scrapes."""
        asked = query.replace("$__rate_interval", f"{10 * EVERY_S}s")
        step = max(1.0, (end - begin) / points)
        told = self.ask("query_range", query=asked, start=f"{begin:.0f}", end=f"{end:.0f}", step=f"{step:.0f}")
        return [
            Series(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in told["result"]
        ]

    def _ports_wanted(self) -> dict[str, int | None]:
        return {"client": None}

    def _command(self) -> Command:
        program = shutil.which("prometheus")
        if program is None:
            raise ServerUnavailable("No prometheus found: apt-get install prometheus.")
        (self.data_dir / "rules.yaml").write_text(sped_up(RULES.read_text(), self._faster))
        targets = [{"targets": [address], "labels": {"instance": name}} for name, address in self._targets().items()]
        scrape = {"job_name": JOB, "static_configs": targets}
        every = f"{EVERY_S}s"
        told = {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [scrape],
        }
        (self.data_dir / "prometheus.yml").write_text(yaml.safe_dump(told))
        arguments = [f"--config.file={self.data_dir}/prometheus.yml", f"--storage.tsdb.path={self.data_dir}/data"]
        return Command(program, [*arguments, f"--web.listen-address={self.address}", "--log.level=warn"])

    def _probe(self) -> None:
        probe_http(self.address, "/-/ready")
