"""The chart's front, really run: the file of its ConfigMap with the places of this machine, and a DNS of its own."""

import re
import socketserver
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from infra.local.balancer import HaProxy
from infra.local.ports import HOST, free_port
from tests.helm.chart import RELEASE, Rendered

_A: Final = 1
_NO_SUCH_NAME: Final = 3
_FULLNAME: Final = f"{RELEASE}-livecomments"


def pod_name(tier: str, number: int) -> str:
    """The name by which a cluster knows a pod of a StatefulSet of the release."""
    return f"{_FULLNAME}-{tier}-{number}.{_FULLNAME}-{tier}-pods.default.svc.cluster.local"


class ChartFront(HaProxy):
    """HAProxy with the chart's configuration.

    Args:
        data_dir: see `Server`.
        rendered: the release, without a certificate.
        nameserver: where names are asked for; at port 1 nobody tells any.
        gateways: see `Balancer`; each takes the place of a pod, and the others stay names.
        edges: likewise.
    """

    def __init__(
        self,
        data_dir: Path,
        rendered: Rendered,
        *,
        nameserver: str = f"{HOST}:1",
        gateways: Callable[[], Sequence[Mapping[str, int]]] = list,
        edges: Callable[[], Sequence[Mapping[str, int]]] = list,
        internal: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, port=None, gateways=gateways, edges=edges)
        self._files = rendered.of("ConfigMap")["front"]["data"]
        self._nameserver = nameserver
        self._internal = internal
        self._health = free_port()
        self._router = data_dir.parent / "router of the chart"
        self._router.mkdir()
        for name in ("haproxy.lua", "partition.lua"):
            (self._router / name).write_text(self._files[name])

    def configuration(
        self, port: int, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]
    ) -> str:
        internal = [*self._internal, *(f"{HOST}:{ports['internal']}" for ports in (*gateways, *edges))]
        text: str = self._files["haproxy.cfg"]
        for place, instead in (
            (r"    bind :8080", f"    bind {HOST}:{port}"),
            (r"(?<=frontend health\n)    bind \S+", f"    bind {HOST}:{self._health}"),
            (r"    setenv INTERNAL_PORTS .*", f'    setenv INTERNAL_PORTS "{" ".join(internal)}"'),
            (r"    parse-resolv-conf", f"    nameserver own {self._nameserver}"),
            (r"    lua-prepend-path .*", f'    lua-prepend-path "{self._router}/?.lua"'),
            (r"    lua-load .*", f'    lua-load "{self._router}/haproxy.lua"'),
        ):
            text, count = re.subn(rf"^{place}$" if place[0] == " " else f"{place}$", instead, text, flags=re.MULTILINE)
            assert count == 1, place
        for tier, servers in (("gateway", gateways), ("edge", edges)):
            for number, ports in enumerate(servers, 1):
                there = re.escape(pod_name(tier, number))
                text, count = re.subn(
                    rf"{there}:\d+ check port \d+ ", f"{HOST}:{ports['client']} check port {ports['internal']} ", text
                )
                assert count == 1, there
                text = re.sub(rf"{there}:\d+ ", f"{HOST}:{ports['client']} ", text)
        return text


class Names:
    """What a cluster's DNS knows: addresses by name, as they are now."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.address = ""

    def answer(self, question: bytes) -> bytes:
        """Answer one question: the address, nothing of another type, or that there is no such name."""
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        kind = struct.unpack_from("!H", question, at + 1)[0]
        found = self.known.get(".".join(labels))
        records = [found] if found and kind == _A else []
        flags = 0x8180 if found else 0x8180 | _NO_SUCH_NAME
        text = question[:2] + struct.pack("!HHHHH", flags, 1, len(records), 0, 0) + question[12 : at + 5]
        for address in records:
            text += struct.pack("!HHHIH", 0xC00C, _A, 1, 1, 4) + bytes(map(int, address.split(".")))
        return text


@contextmanager
def nameserver() -> Iterator[Names]:
    """Run one on loopback."""
    names = Names()

    class Answering(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            question, socket = self.request
            socket.sendto(names.answer(question), self.client_address)

    server: Any = socketserver.UDPServer((HOST, 0), Answering)
    names.address = f"{HOST}:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield names
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
