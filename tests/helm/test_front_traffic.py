"""Requests and streams by way of the chart's front, while pods drain, are lost, and come."""

from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from shutil import which

import pytest

from infra.local.ports import free_port
from livecomments_schemas.partitions import partition_of
from tests.helm.chart import Helm
from tests.helm.front import ChartFront, Names, nameserver, pod_name
from tests.infra.test_balancer import VIDEOS, Stub, ask
from tests.infra.test_partition_lua import ranked
from tests.infra.waiting import wait_until

pytestmark = pytest.mark.skipif(not which("haproxy"), reason="there is no haproxy: apt-get install haproxy")


class Cluster:
    """Pods with addresses of their own and the same ports, known by name for as long as they are there."""

    def __init__(self, names: Names, helm: Helm, directory: Path) -> None:
        self._names, self._http, self._internal = names, free_port(), free_port()
        self.pods: dict[str, Stub] = {}
        ports = {"http": self._http, "internal": self._internal}
        rendered = helm.render("front", ports=ports, front={"tlsSecret": "", "serversMax": 3})
        internal = [f"127.0.1.1:{self._internal}"]  # of the headless Service, which a library resolves
        self.front = ChartFront(directory / "front", rendered, nameserver=names.address, internal=internal)

    def add(self, tier: str, number: int) -> None:
        address = f"127.0.{1 if tier == 'gateway' else 2}.{number}"
        self.pods[f"{tier}-{number}"] = Stub(f"{tier}-{number}", self._http, self._internal, address)
        self._names.known[pod_name(tier, number)] = address

    def lose(self, tier: str, number: int) -> None:
        self.pods.pop(f"{tier}-{number}").close()
        del self._names.known[pod_name(tier, number)]

    def serving(self, path: str, method: str = "GET") -> set[str]:
        """Who answers, over many videos; all were answered."""
        told = [ask(self.front, path.format(video), method) for video in VIDEOS]
        assert {status for status, _, _ in told} == {200}
        return {text.split()[0] for _, _, text in told}


@pytest.fixture
def cluster(helm: Helm, tmp_path: Path) -> Iterator[Cluster]:
    with nameserver() as names:
        made = Cluster(names, helm, tmp_path)
        for tier in ("gateway", "edge"):
            for number in (1, 2):
                made.add(tier, number)
        try:
            made.front.start()
            made.front.wait_ready()
            wait_until(lambda: ask(made.front, "/comments/demo")[1].get("saw-route", "") not in ("", "any"))
            wait_until(lambda: made.serving("/comments/{}/stream") == {"edge-1", "edge-2"})
            yield made
        finally:
            made.front.kill()
            for pod in made.pods.values():
                pod.close()


def test_comments_go_to_gateways_and_streams_home_to_edges_by_the_names_of_pods(cluster: Cluster) -> None:
    wait_until(lambda: cluster.serving("/comments/{}", "POST") == {"gateway-1", "gateway-2"})
    for video in VIDEOS:
        home = ranked(partition_of(video, 64), ["1", "2"])[0]
        _, headers, text = ask(cluster.front, f"/comments/{video}/stream")
        assert (text.split()[0], headers["saw-route"]) == (f"edge-{home}", f"{partition_of(video, 64)}/64/1")


def test_an_edge_that_drains_keeps_its_streams_and_gets_no_new_ones(cluster: Cluster) -> None:
    leaving = f"edge-{ranked(partition_of('held', 64), ['1', '2'])[0]}"
    with ExitStack() as stack:
        connection = HTTPConnection(cluster.front.address, timeout=60)
        stack.callback(connection.close)
        connection.request("GET", "/comments/held/stream")
        held = connection.getresponse()
        assert held.read(6).decode() == leaving
        cluster.pods[leaving].health = 503
        wait_until(lambda: cluster.serving("/comments/{}/stream") == {"edge-1", "edge-2"} - {leaving})
        cluster.pods[leaving].held.set()
        assert held.read().decode() == " /comments/held/stream", "it was open all the time"


def test_pods_that_are_lost_and_that_come_need_no_other_file_and_no_start(cluster: Cluster) -> None:
    pid = cluster.front.pid
    cluster.lose("edge", 2)
    assert cluster.serving("/comments/{}/stream") == {"edge-1"}, "at once: who is refused is passed on"
    cluster.lose("gateway", 2)
    assert cluster.serving("/comments/{}", "POST") == {"gateway-1"}
    cluster.add("edge", 3)
    wait_until(lambda: cluster.serving("/comments/{}/stream") == {"edge-1", "edge-3"})
    cluster.lose("edge", 1)
    cluster.lose("edge", 3)
    status, headers, text = ask(cluster.front, "/comments/demo/stream")
    assert (status, headers["content-type"], text[:9]) == (200, "text/event-stream", ":\nretry: ")
    cluster.add("edge", 2)
    wait_until(lambda: ask(cluster.front, "/comments/demo/stream")[2].startswith("edge-2"))
    assert cluster.front.pid == pid
