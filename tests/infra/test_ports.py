"""Ports: free, and the same again."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from infra.local.ports import HOST, answers, claim_ports, is_free


def test_a_directory_gives_the_same_ports_every_time(tmp_path: Path) -> None:
    first = claim_ports(tmp_path / "new", {"client": None, "storage": None})
    assert claim_ports(tmp_path / "new", {"client": None, "storage": None}) == first
    assert first["client"] != first["storage"]


def test_a_port_asked_for_is_given_and_remembered(tmp_path: Path) -> None:
    claim_ports(tmp_path, {"client": None})
    assert claim_ports(tmp_path, {"client": 9_092}) == {"client": 9_092}
    assert claim_ports(tmp_path, {"client": None}) == {"client": 9_092}


def test_a_port_somebody_listens_on_is_not_free_and_answers(tmp_path: Path) -> None:
    port = claim_ports(tmp_path, {"client": None})["client"]
    assert is_free(port)
    assert not answers(port)
    with socket.create_server((HOST, port)):
        assert not is_free(port)
        assert answers(port)


_CLAIMING: Final = """
import sys
from pathlib import Path
from infra.local.ports import claim_ports
print(*(claim_ports(Path(sys.argv[1]) / str(at), {"client": None})["client"] for at in range(300)), flush=True)
sys.stdin.read()
"""


def test_what_is_claimed_and_not_yet_listened_at_is_nobody_elses(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _CLAIMING, str(tmp_path / "other")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = [int(port) for port in other.stdout.readline().split()]
        ours = [claim_ports(tmp_path / str(at), {"client": None})["client"] for at in range(300)]
        other.communicate()
    assert len({*ours, *theirs}) == 600
