"""The recommended load balancers, really run, in front of stubs that say who they are."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import orjson
import pytest

from infra.local.balancer import Balancer, HaProxy, Nginx
from infra.local.ports import HOST, answers, claim_ports
from tests.infra.waiting import wait_until

VIDEOS = [f"video.{n}" for n in range(40)]


class Stub:
    """A gateway or an edge: one server for its public and one for its internal port, which answers `health`."""

    def __init__(self, name: str, port: int = 0, internal: int = 0, host: str = HOST) -> None:
        self.health = 200
        self.partitions = 64
        self.held = threading.Event()
        """Until it is set, what is asked for under /comments/held has no end."""
        stub = self

        class Public(BaseHTTPRequestHandler):
            log_message = _say_nothing

            def do_GET(self) -> None:
                if self.path == "/comments/cut/stream" or self.path == "/comments/cut":
                    self.connection.close()
                    return
                text = f"{name} {self.path}"
                if self.path.startswith("/comments/held"):
                    self.send_response(200)
                    self.send_header("connection", "close")
                    self.end_headers()
                    self.wfile.write(text.encode())
                    stub.held.wait(60)
                    self.close_connection = True
                    return
                _answer(self, 503 if "refused" in self.path else 200, text, self.headers.get("livecomments-route", ""))

            do_POST = do_GET

        class Internal(BaseHTTPRequestHandler):
            log_message = _say_nothing

            def do_GET(self) -> None:
                if self.path == "/internal/routing":
                    _answer(self, 200, f'{{"epoch":0,"partitions":{stub.partitions}}}')
                else:
                    _answer(self, stub.health if self.path == "/healthz/ready" else 404, "")

        listening = ((port, Public), (internal, Internal))
        self._servers = [ThreadingHTTPServer((host, at), handler) for at, handler in listening]
        self.ports = dict(zip(("client", "internal"), (each.server_port for each in self._servers), strict=True))
        self._threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in self._servers]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self.held.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


def _say_nothing(_: BaseHTTPRequestHandler, format: str, *args: Any) -> None: ...


def _answer(handler: BaseHTTPRequestHandler, status: int, text: str, route: str = "") -> None:
    handler.send_response(status)
    handler.send_header("saw-route", route)
    handler.send_header("content-length", str(len(text)))
    handler.end_headers()
    handler.wfile.write(text.encode())


@contextmanager
def stubs(*names: str) -> Iterator[list[Stub]]:
    made = [Stub(name) for name in names]
    try:
        yield made
    finally:
        for stub in made:
            stub.close()


@pytest.fixture(params=[HaProxy, Nginx])
def kind(request: pytest.FixtureRequest) -> type[Balancer]:
    kind: type[Balancer] = request.param
    if which(kind.program) is None:
        pytest.skip(f"No {kind.program} found.")
    return kind


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Balancer]]:
    """Starts a balancer, and kills it after the test."""
    started: list[Balancer] = []

    def start(kind: type[Balancer], gateways: list[dict[str, int]], edges: list[dict[str, int]]) -> Balancer:
        balancer = kind(tmp_path / "a balancer", port=None, gateways=lambda: gateways, edges=lambda: edges)
        balancer.start()
        started.append(balancer)
        wait_until(lambda: answers(balancer.ports["client"]))
        return balancer

    yield start
    for balancer in started:
        balancer.kill()


def ask(balancer: Balancer, path: str, method: str = "GET", route: str = "") -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection(balancer.address, timeout=10)
    try:
        connection.request(method, path, headers={"Livecomments-Route": route} if route else {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def nobody(tmp_path: Path, count: int) -> list[dict[str, int]]:
    """Ports on which nobody listens."""
    wanted = dict.fromkeys(("client", "internal"))
    return [claim_ports(tmp_path / f"nobody {n}", wanted) for n in range(count)]


def test_with_all_edges_away_a_stream_is_told_when_to_come_back_and_a_call_is_refused(
    kind: type[Balancer], start: Callable[..., Balancer], tmp_path: Path
) -> None:
    away = nobody(tmp_path, 3)
    balancer = start(kind, away[:1], away[1:])
    with ThreadPoolExecutor(len(VIDEOS)) as threads:
        told = list(threads.map(lambda video: ask(balancer, f"/comments/{video}/stream?after=x"), VIDEOS))
    for status, headers, body in told:
        assert status == 200
        assert headers["content-type"] == "text/event-stream"
        assert headers["cache-control"] == "no-store"
        assert headers["access-control-allow-origin"] == "*"  # else an EventSource of another site's page is done
        assert re.fullmatch(r":\nretry: \d+\n", body), "a blank line would end an event that WebKit has half of"
    retries = {int(body.split()[2]) for _, _, body in told}
    assert min(retries) >= 1_000
    assert max(retries) <= 4_000
    assert len(retries) > 1, "a crowd must not come back as one"
    for method in ("GET", "POST"):
        status, headers, body = ask(balancer, "/comments/demo", method)
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert headers["retry-after"] == "1"
        assert orjson.loads(body)["code"] in ("overloaded", "append_unknown")


def test_who_dies_in_the_middle_leaves_a_stream_to_come_back_and_a_comment_unknown(
    kind: type[Balancer], start: Callable[..., Balancer]
) -> None:
    with stubs("gateway", "edge") as (gateway, edge):
        balancer = start(kind, [gateway.ports], [edge.ports])
        status, _, body = ask(balancer, "/comments/cut/stream")
        assert (status, body[:9]) == (200, ":\nretry: ")
        status, _, body = ask(balancer, "/comments/cut", "POST")
        assert (status, orjson.loads(body)["code"]) == (503, "append_unknown")
        for path, who in (("/comments/refused/stream", "edge"), ("/comments/refused", "gateway")):
            assert ask(balancer, path)[::2] == (503, f"{who} {path}"), "what it says itself is its own business"


def test_a_video_stays_with_its_edge_and_all_else_goes_to_gateways(
    kind: type[Balancer], start: Callable[..., Balancer]
) -> None:
    with stubs("gateway-1", "gateway-2", "edge-1", "edge-2", "edge-3") as made:
        balancer = start(kind, [each.ports for each in made[:2]], [each.ports for each in made[2:]])

        def edges() -> list[str]:
            return [ask(balancer, f"/comments/{video}/stream?history={n}")[2] for n, video in enumerate(VIDEOS)]

        before = edges()
        assert {name.split()[0] for name in before} == {"edge-1", "edge-2", "edge-3"}
        assert edges() == before
        assert before[7].endswith("/comments/video.7/stream?history=7")
        for path in ("/", "/comments/demo", "/comments/stream", "/comments/demo/0123456789abcdef", "/sessions"):
            assert ask(balancer, path)[2].startswith("gateway"), path


def test_videos_of_an_edge_that_is_away_move_and_others_stay(
    kind: type[Balancer], start: Callable[..., Balancer]
) -> None:
    with stubs("gateway", "edge-1", "edge-2", "edge-3") as (gateway, *edges):
        balancer = start(kind, [gateway.ports], [each.ports for each in edges])

        def homes() -> dict[str, str]:
            return {video: ask(balancer, f"/comments/{video}/stream")[2].split()[0] for video in VIDEOS}

        before = homes()
        edges[1].close()
        # At once, before any health check: who was refused is passed on.
        assert all(name in ("edge-1", "edge-3") for name in homes().values())
        wait_until(lambda: all(homes()[video] == home for video, home in before.items() if home != "edge-2"))
        edges[1] = edges[0]  # it is closed already


def test_who_is_not_ready_is_spared_and_used_when_nobody_is_ready(start: Callable[..., Balancer]) -> None:
    if which("haproxy") is None:
        pytest.skip("No haproxy found.")
    with stubs("gateway-1", "gateway-2", "edge-1", "edge-2") as made:
        balancer = start(HaProxy, [each.ports for each in made[:2]], [each.ports for each in made[2:]])

        def who(path: str) -> set[str]:
            return {ask(balancer, path.format(video))[2].split()[0] for video in VIDEOS}

        for stub in (made[0], made[2]):
            stub.health = 503
        wait_until(lambda: who("/comments/{}/stream") == {"edge-2"})
        wait_until(lambda: who("/comments/{}") == {"gateway-2"})
        for stub in made:
            stub.health = 503
        wait_until(lambda: who("/comments/{}/stream") == {"edge-1", "edge-2"})
        wait_until(lambda: who("/comments/{}") == {"gateway-1", "gateway-2"})
        # And that is not as by a router that knows no partitions.
        wait_until(lambda: ask(balancer, "/comments/demo/stream")[1]["saw-route"] == "any")
        wait_until(lambda: ask(balancer, "/comments/demo")[1]["saw-route"] == "any")


def test_events_are_passed_on_at_once(kind: type[Balancer], start: Callable[..., Balancer], tmp_path: Path) -> None:
    """An edge that writes one event and no more: it has arrived before the stream ends."""
    with socket.create_server((HOST, 0)) as edge:
        ports = {"client": edge.getsockname()[1], "internal": nobody(tmp_path, 1)[0]["internal"]}
        balancer = start(kind, nobody(tmp_path, 1), [ports])
        with socket.create_connection((HOST, balancer.ports["client"]), timeout=10) as viewer:
            viewer.sendall(b"GET /comments/demo/stream HTTP/1.1\r\nhost: x\r\n\r\n")
            connection, _ = edge.accept()
            with connection:
                connection.recv(65_536)
                head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                connection.sendall(head + b"8\r\ndata:1\n\n\r\n")
                seen = b""
                while b"data:1" not in seen:
                    seen += viewer.recv(65_536)


def test_it_is_started_anew_with_other_addresses_only(tmp_path: Path, kind: type[Balancer]) -> None:
    with stubs("gateway", "edge") as (gateway, edge):
        edges = [edge.ports]
        balancer = kind(tmp_path, port=None, gateways=lambda: [gateway.ports], edges=lambda: edges)
        try:
            balancer.start()
            balancer.wait_ready()
            pid = balancer.pid
            balancer.start()
            assert balancer.pid == pid
            edges.append(gateway.ports)
            balancer.start()
            balancer.wait_ready()
            assert balancer.pid != pid
            other = claim_ports(tmp_path / "other", {"client": None})["client"]
            moved = kind(tmp_path, port=other, gateways=lambda: [gateway.ports], edges=lambda: edges)
            moved.start()
            moved.wait_ready()
            assert moved.address == f"{HOST}:{other}"
            assert not answers(balancer.ports["client"])
        finally:
            balancer.kill()


def test_the_recommended_files_are_whole() -> None:
    """As they stand, for the names of compose.yaml."""
    text = HaProxy(Path("x"), port=1, gateways=list, edges=list).configuration(
        8_080, [{"client": 1, "internal": 2}], [{"client": 3, "internal": 4}]
    )
    assert "edge-1:8080" not in text
    assert "gateway-1:8080" not in text
    assert "    server edge-1 127.0.0.1:3 check port 4 id 1\n" in text
    assert text.count("    server ") == 4
    text = Nginx(Path("x"), port=1, gateways=list, edges=list).configuration(
        8_080, [{"client": 1, "internal": 2}], [{"client": 3, "internal": 4}]
    )
    assert "        server 127.0.0.1:3 max_fails=0;\n" in text
    assert "        server 127.0.0.1:1 max_fails=1 fail_timeout=1s;\n" in text
