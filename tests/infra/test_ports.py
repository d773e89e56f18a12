"""Ports: free, and the same again."""

import socket
from pathlib import Path

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
