"""One address in front of gateways and edges: HAProxy, else nginx, with the configuration that `infra/` recommends.

The recommended files are run as they are but for the lines that name addresses.
"""

import re
import shutil
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from infra.local.errors import ServerUnavailable
from infra.local.jars import ROOM
from infra.local.lifecycle import Command, Server
from infra.local.ports import HOST
from infra.local.readiness import probe_http

_INFRA: Final = ROOM.parent
LUA_MODULE: Final = Path("/usr/lib/nginx/modules/ngx_http_lua_module.so")
"""Of Debian's libnginx-mod-http-lua."""
_MARK: Final = "livecomments.local=[{}]"


class Balancer(Server):
    """A load balancer.

    Args:
        data_dir: see `Server`.
        port: of the one address; a free one by default.
        gateways: asked for at the start: the ports of each, 'client' and 'internal'.
        edges: likewise.
    """

    program = ""
    _first = "answer"

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None,
        gateways: Callable[[], Sequence[Mapping[str, int]]],
        edges: Callable[[], Sequence[Mapping[str, int]]],
    ) -> None:
        super().__init__(self.program, data_dir, self._mark())
        self._port = port
        self._gateways = gateways
        self._edges = edges

    def start(self, *, detached: bool = False) -> None:
        if self.is_running() and not self._is_current():
            self.on_step("stopping, to start it as it is now")
            self.stop()
            self.__dict__.pop("ports", None)  # a running server keeps its ports; this one may get another
        super().start(detached=detached)

    def _is_current(self) -> bool:
        return self._port in (None, self.ports["client"]) and self._file.read_text() == self._text()

    @property
    def _file(self) -> Path:
        return self.data_dir / f"{self.program}.cfg"

    def _text(self) -> str:
        return self.configuration(self.ports["client"], self._gateways(), self._edges())

    def _ports_wanted(self) -> dict[str, int | None]:
        return {"client": self._port}

    def _command(self) -> Command:
        program = shutil.which(self.program)
        if program is None:
            raise ServerUnavailable(f"No {self.program} found: apt-get install {self.program}.")
        self._file.write_text(self._text())
        return Command(program, self._arguments(self._file))

    def _probe(self) -> None:
        probe_http(self.address, "/")

    @staticmethod
    @abstractmethod
    def _mark() -> tuple[str, ...]:
        """See `ServerProcess`."""

    @abstractmethod
    def _arguments(self, file: Path) -> list[str]:
        """Return the arguments to run in the foreground, as one process, with the configuration in `file`."""

    @abstractmethod
    def configuration(
        self, port: int, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]
    ) -> str:
        """Return the recommended configuration with these ports."""


class HaProxy(Balancer):
    """See `infra/haproxy/haproxy.cfg`."""

    program = "haproxy"

    @staticmethod
    def _mark() -> tuple[str, ...]:
        return ("-L", _MARK)  # the name it has among peers, of which there are none

    def _arguments(self, file: Path) -> list[str]:
        return ["-db", "-f", str(file)]

    def configuration(
        self, port: int, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]
    ) -> str:
        text = (_INFRA / "haproxy" / "haproxy.cfg").read_text()
        text = re.sub(r"^    bind \S+$", f"    bind {HOST}:{port}", text, flags=re.MULTILINE)
        for name, servers in (("gateway", gateways), ("edge", edges)):
            ready = [
                f"    server {name}-{n} {HOST}:{ports['client']} check port {ports['internal']} id {n}"
                for n, ports in enumerate(servers, 1)
            ]
            unready = [
                f"    server {name}-{n}-unready {HOST}:{ports['client']} backup id {1000 + n}"
                for n, ports in enumerate(servers, 1)
            ]
            text = _with_lines(text, rf"    server {name}-\d+ .*", ready)
            text = _with_lines(text, rf"    server {name}-\d+-unready .*", unready)
        internal = " ".join(f"{HOST}:{ports['internal']}" for ports in (*gateways, *edges))
        router = _INFRA / "router"
        text = _with_lines(text, r"    lua-prepend-path .*", [f'    lua-prepend-path "{router}/?.lua"'])
        text = _with_lines(text, r"    setenv INTERNAL_PORTS .*", [f'    setenv INTERNAL_PORTS "{internal}"'])
        return _with_lines(text, r"    lua-load .*", [f'    lua-load "{router}/haproxy.lua"'])


class Nginx(Balancer):
    """See `infra/nginx/nginx.conf`."""

    program = "nginx"

    @staticmethod
    def _mark() -> tuple[str, ...]:
        # One process: workers would outlive a master that was killed.
        return ("-g", f'daemon off; master_process off; env "{_MARK}";')

    def _arguments(self, file: Path) -> list[str]:
        return ["-e", "stderr", "-c", str(file)]

    def configuration(
        self, port: int, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]
    ) -> str:
        text = (_INFRA / "nginx" / "nginx.conf").read_text()
        text = re.sub(r"^        listen \d+;$", f"        listen {HOST}:{port};", text, flags=re.MULTILINE)
        for name, servers in (("gateway", gateways), ("edge", edges)):
            pattern = rf"        server {name}[-\d]*:\d+ (.*)"
            found = re.search(pattern, text)
            assert found, pattern
            lines = [f"        server {HOST}:{ports['client']} {found[1]}" for ports in servers]
            text = _with_lines(text, pattern, lines)
        text = _knowing_partitions(text, gateways, edges)
        # Where it keeps what is too large for memory; its own place may belong to somebody else.
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f'    {kind}_temp_path "{self.data_dir}/{kind}";\n' for kind in kinds)
        text = text.replace("http {\n", f"http {{\n{places}", 1)
        modules = re.findall(r"^load_module .*\n", text, flags=re.MULTILINE)  # they stand before anything else
        text = re.sub(r"^load_module .*\n", "", text, flags=re.MULTILINE)
        return f'{"".join(modules)}pid "{self.data_dir}/nginx.pid";\n{text}'


def installed() -> type[HaProxy] | type[Nginx] | None:
    """Return the load balancer that is installed here, HAProxy before nginx; None if neither is."""
    return next((each for each in (HaProxy, Nginx) if shutil.which(each.program)), None)


def _knowing_partitions(text: str, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]) -> str:
    """Return nginx's configuration with its lines for the Lua module, where that is installed."""
    if not LUA_MODULE.exists():
        return text
    tiers = []
    for name, servers in (("gateways", gateways), ("edges", edges)):
        of_tier = ",".join(f'["{n}"]="{HOST}:{ports["client"]}"' for n, ports in enumerate(servers, 1))
        tiers.append(f"{name}={{{of_tier}}}")
    internal = ",".join(f'"{HOST}:{ports["internal"]}"' for ports in (*gateways, *edges))
    start = f'init_worker_by_lua_block {{ require("nginx").start({{{",".join(tiers)}}},{{{internal}}}) }}'
    text = _with_lines(text, r"    #lua init_worker_by_lua_block .*", [f"    #lua {start}"])
    path = f'lua_package_path "{_INFRA}/router/?.lua;;";'
    text = _with_lines(text, r"    #lua lua_package_path .*", [f"    #lua {path}"])
    text = re.sub(r"^( *)#lua ", r"\1", text, flags=re.MULTILINE)
    return text.replace("load_module modules/", f"load_module {LUA_MODULE.parent}/")


def _with_lines(text: str, pattern: str, lines: Sequence[str]) -> str:
    """Return `text` with the first run of lines that match replaced by these."""
    found = re.search(rf"(?:^{pattern}\n)+", text, flags=re.MULTILINE)
    assert found, pattern
    return text[: found.start()] + "".join(f"{line}\n" for line in lines) + text[found.end() :]
