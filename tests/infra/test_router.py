"""The load balancers as routers: a partition's home by infra/router, another count by itself, further homes by load."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from shutil import which

import pytest

from infra.local import balancer as balancers
from infra.local.balancer import Balancer, HaProxy, Nginx
from livecomments_schemas.partitions import partition_of
from tests.infra.test_balancer import VIDEOS, Stub, ask, start, stubs
from tests.infra.test_partition_lua import ranked
from tests.infra.waiting import wait_until

__all__ = ["start"]

BOUND = 3


class Low(HaProxy):
    """HAProxy with a bound that a test reaches."""

    def configuration(
        self, port: int, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]
    ) -> str:
        text = super().configuration(port, gateways, edges)
        return text.replace("lua.home 5000", f"lua.home {BOUND}").replace("lua.home 500", f"lua.home {BOUND}")


class LowNginx(Nginx):
    """Nginx, likewise."""

    def configuration(
        self, port: int, gateways: Sequence[Mapping[str, int]], edges: Sequence[Mapping[str, int]]
    ) -> str:
        text = super().configuration(port, gateways, edges)
        return text.replace('require("nginx").start({', f'require("nginx").start({{bound={BOUND},')


@pytest.fixture(params=[Low, LowNginx])
def kind(request: pytest.FixtureRequest) -> type[Balancer]:
    kind: type[Balancer] = request.param
    if which(kind.program) is None:
        pytest.skip(f"No {kind.program} found.")
    if kind is LowNginx and not balancers.LUA_MODULE.exists():
        pytest.skip("No Lua module: apt-get install libnginx-mod-http-lua.")
    return kind


def home(video: str, servers: int, count: int = 64) -> str:
    return ranked(partition_of(video, count), [str(n) for n in range(1, servers + 1)])[0]


def test_streams_and_calls_go_to_the_home_of_their_partition(
    kind: type[Balancer], start: Callable[..., Balancer]
) -> None:
    with stubs("gateway-1", "gateway-2", "edge-1", "edge-2", "edge-3") as made:
        balancer = start(kind, [each.ports for each in made[:2]], [each.ports for each in made[2:]])
        wait_until(lambda: ask(balancer, "/comments/demo")[1]["saw-route"] != "")  # it has looked at its servers
        for video in VIDEOS:
            said = f"{partition_of(video, 64)}/64/1"
            _, headers, text = ask(balancer, f"/comments/{video}/stream?history=3")
            assert (text.split()[0], headers["saw-route"]) == (f"edge-{home(video, 3)}", said)
            for method, path in (("GET", ""), ("POST", ""), ("GET", "/0123456789abcdef")):
                _, headers, text = ask(balancer, f"/comments/{video}{path}", method)
                assert (text.split()[0], headers["saw-route"]) == (f"gateway-{home(video, 2)}", said)
            assert ask(balancer, f"/videos/{video}")[1]["saw-route"] == said
        escaped = ask(balancer, "/comments/video%2e7/stream")
        assert escaped[1]["saw-route"] == f"{partition_of('video.7', 64)}/64/1", "of the id, not of how it is written"
        assert ask(balancer, "/sessions", route="1/64/1")[1]["saw-route"] == "", "what a client says is not passed on"
        assert ask(balancer, "/comments/demo", route="1/1/1")[1]["saw-route"] != "1/1/1"


def test_another_count_is_heard_of_and_no_connection_is_lost(
    kind: type[Balancer], start: Callable[..., Balancer]
) -> None:
    with stubs("gateway-1", "gateway-2", "edge-1", "edge-2") as made:
        balancer = start(kind, [each.ports for each in made[:2]], [each.ports for each in made[2:]])
        with ExitStack() as stack:
            held = _open(balancer, "/comments/held/stream", stack)
            assert held.read(4) == b"edge"
            for stub in made:
                stub.partitions = 256
            wait_until(lambda: ask(balancer, "/comments/demo")[1]["saw-route"].split("/")[1:2] == ["256"])
            for video in VIDEOS:
                assert ask(balancer, f"/comments/{video}/stream")[2].startswith(f"edge-{home(video, 2, 256)}")
            for stub in made:
                stub.held.set()
            assert held.read().endswith(b" /comments/held/stream"), "it was open all the time"


def test_only_the_partition_that_has_its_bound_gets_another_home(
    kind: type[Balancer], start: Callable[..., Balancer]
) -> None:
    with stubs("gateway-1", "gateway-2", "edge-1", "edge-2", "edge-3") as made, ExitStack() as stack:
        balancer = start(kind, [each.ports for each in made[:2]], [each.ports for each in made[2:]])
        wait_until(lambda: ask(balancer, "/comments/demo")[1]["saw-route"] != "")
        first = f"edge-{home('held', 3)}"
        seen = [_open(balancer, "/comments/held/stream", stack).read(6).decode() for _ in range(2 * BOUND)]
        assert seen[:BOUND] == [first] * BOUND
        assert len(set(seen[BOUND:])) == 2
        for video in VIDEOS:
            if partition_of(video, 64) != partition_of("held", 64):
                assert ask(balancer, f"/comments/{video}/stream")[1]["saw-route"].endswith("/1")
        for stub in made:
            stub.held.set()
        stack.close()

        def is_back() -> bool:
            with ExitStack() as once:
                return _open(balancer, "/comments/held/stream", once).read().decode().startswith(first)

        wait_until(lambda: all(is_back() for _ in range(2 * BOUND)))  # those that ended count no more


def test_who_is_back_serves_at_once_though_it_refused_a_moment_ago(start: Callable[..., Balancer]) -> None:
    """While it is remembered for that, too, if nobody else is there."""
    if not which("nginx") or not balancers.LUA_MODULE.exists():
        pytest.skip("No nginx with its Lua module: apt-get install nginx libnginx-mod-http-lua.")
    with stubs("gateway-1", "edge-1", "edge-2") as made:
        balancer = start(Nginx, [made[0].ports], [each.ports for each in made[1:]])
        wait_until(lambda: ask(balancer, "/comments/demo")[1]["saw-route"] != "")
        for stub in made[1:]:
            stub.close()
        for video in ("video.1", "video.2", "video.3"):
            name = f"edge-{home(video, 2)}"
            assert "retry:" in ask(balancer, f"/comments/{video}/stream")[2], "both have refused"
            back = Stub(name, made[int(name[-1])].ports["client"])
            try:
                assert ask(balancer, f"/comments/{video}/stream")[2].startswith(name)
            finally:
                back.close()


def _open(balancer: Balancer, path: str, stack: ExitStack) -> HTTPResponse:
    connection = HTTPConnection(balancer.address, timeout=30)
    stack.callback(connection.close)
    connection.request("GET", path)
    return connection.getresponse()
