"""Everything together: up, used, changed, killed, up again, down; by the commands of `make`."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from infra.local.apps import JOBS, App
from infra.local.ports import HOST
from infra.local.servers import why_unavailable
from infra.local.stack import BALANCER, BROKER, GATEWAY, STORE, STREAM, Stack
from livecomments_command.settings import GatewaySettings
from tests.infra.waiting import wait_until

UP_TIMEOUT_S = 280
NAMES = (BROKER, STORE, GATEWAY, STREAM, "edge-1", "edge-2", BALANCER)


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder with a space in its name; whatever was started in it is killed."""
    run_dir = tmp_path / "a stack"
    yield run_dir
    Stack(run_dir, {}).kill()


def infra_local(*arguments: Any, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "infra.local", *map(str, arguments)]
    # Servers that other live tests are pointed at are not ours to stop.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIVECOMMENTS_")} | settings
    return subprocess.run(command, capture_output=True, text=True, timeout=UP_TIMEOUT_S, check=False, env=environment)


def up(run_dir: Path, *options: str, **settings: str) -> Stack:
    done = infra_local("up", "--run-dir", run_dir, "--port", 0, *options, **settings)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    stack = Stack(run_dir, {})
    assert f"livecomments is running: {stack.url}/" in done.stdout
    assert all(server.is_running() for server in stack.servers.values())
    return stack


def secret_of(stack: Stack) -> str:
    return stack.settings_of(GatewaySettings).session_secret


def pids(stack: Stack) -> dict[str, int | None]:
    return {name: server.pid for name, server in stack.servers.items()}


def call(url: str, body: Mapping[str, str] | None = None, token: str = "") -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        return json.loads(answer.read())


def first_comment(url: str) -> str:
    """The first comment of a stream with history: from an edge, through the balancer."""
    with urllib.request.urlopen(f"{url}/comments/demo/stream?history=5", timeout=20) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for line in stream:
            if line.startswith(b"data: {") and "message" in (
                said := json.loads(line[6:])
            ):  # what is so of it came first
                return str(said["message"])
    raise AssertionError("no comment")


def counts(url: str) -> list[dict[str, int]]:
    """Of the demo, as far as they are known."""
    try:
        return list(call(f"{url}/videos/demo/counts")["minutes"])
    except HTTPError:
        return []


@pytest.mark.live
@pytest.mark.timeout(900)
def test_up_runs_all_of_it_until_down_and_comments_stay(run_dir: Path) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    stack = up(run_dir)
    if stack.balancer is None:
        pytest.skip("No load balancer found.")
    token = call(f"{stack.url}/sessions", {"displayName": "Ana"})["sessionToken"]
    call(f"{stack.url}/comments/demo", {"message": "Hello"}, token)
    assert first_comment(stack.url) == "Hello"
    assert infra_local("status", "--run-dir", run_dir).returncode == 0
    before = pids(stack)
    assert set(before) == set(NAMES)

    stack["edge-1"].kill()
    assert infra_local("status", "--run-dir", run_dir).returncode == 1
    again = pids(up(run_dir))
    assert {name for name in NAMES if again[name] != before[name]} == {"edge-1"}

    changed = pids(up(run_dir, LIVECOMMENTS_TAIL_RECORDS_MAX="300"))
    apps = {app.kind for app in stack.apps}
    assert {name for name in NAMES if changed[name] != again[name]} == apps, "only what has these settings"

    with_data = up(run_dir, "--data")
    assert pids(with_data).keys() - changed.keys() == {*JOBS}
    wait_until(lambda: sum(one["comments"] for one in counts(stack.url)) == 1)
    with_data["clean"].kill()
    assert infra_local("status", "--run-dir", run_dir).returncode == 1, "it was wanted"
    assert all(up(run_dir, "--data").servers[job].is_running() for job in JOBS)
    assert pids(up(run_dir)).keys() == changed.keys(), "what is not asked for does not run on"
    up(run_dir, "--data")

    down = infra_local("down", "--run-dir", run_dir)
    assert (down.returncode, down.stderr) == (0, "")
    assert not any(server.is_running() for server in with_data.servers.values())
    assert not any(server.is_running() for server in stack.servers.values())
    up(run_dir)
    assert first_comment(stack.url) == "Hello"
    call(f"{stack.url}/comments/demo", {"message": "Still me"}, token)


def test_a_setting_that_cannot_be_is_told_before_anything_starts(run_dir: Path) -> None:
    if reason := why_unavailable():
        pytest.skip(reason)
    done = infra_local("up", "--run-dir", run_dir, LIVECOMMENTS_TAIL_RECORDS_MAX="-1")
    assert done.returncode == 1
    assert "LIVECOMMENTS_TAIL_RECORDS_MAX" in done.stderr
    assert not any(server.is_running() for server in Stack(run_dir, {}).servers.values())


def test_without_java_one_sentence_says_what_to_install(run_dir: Path) -> None:
    done = infra_local("up", "--run-dir", run_dir, PATH="/nowhere")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "JDK from 17 to 23" in done.stderr


def test_addresses_that_are_given_are_used_and_nothing_is_started_for_them(run_dir: Path) -> None:
    given = {"LIVECOMMENTS_KAFKA": "kafka.test:9092", "LIVECOMMENTS_CQL": "cql.test:9042", "LIVECOMMENTS_REPLICAS": "2"}
    stack = Stack(run_dir, given)
    assert not {BROKER, STORE} & stack.servers.keys()
    settings = stack.settings
    assert (settings.kafka, settings.cql, settings.replicas) == ("kafka.test:9092", "cql.test:9042", 2)
    half = Stack(run_dir, {"LIVECOMMENTS_KAFKA": "kafka.test:9092"})
    assert BROKER not in half.servers
    assert half.settings.cql == half[STORE].address
    assert Stack(run_dir, {}).settings.replicas == 1


def test_all_processes_sign_alike_and_share_nothing_else(run_dir: Path) -> None:
    stack = Stack(run_dir, {})
    assert secret_of(stack) == secret_of(Stack(run_dir, {}))
    assert (run_dir / "session-secret").stat().st_mode & 0o777 == 0o600
    own = run_dir / "own-secret"
    own.write_text("x" * 40)
    assert secret_of(Stack(run_dir, {"LIVECOMMENTS_SESSION_SECRET_FILE": str(own)})) == "x" * 40
    ports = [port for app in stack.apps for port in app.ports.values()]
    assert len(set(ports)) == len(ports)


def test_another_setting_or_other_code_is_another_recipe(tmp_path: Path) -> None:
    environment = {"LIVECOMMENTS_TAIL_RECORDS_MAX": "1", "TERM": "x"}
    app = App("edge-1", "edge", tmp_path, lambda: environment)
    before = app.recipe()
    environment["TERM"] = "y"
    assert app.recipe() == before
    environment["LIVECOMMENTS_TAIL_RECORDS_MAX"] = "2"
    assert app.recipe() != before
    assert app.address.startswith(HOST)
