"""Secrets and certificates in files: what changes is taken once it is whole, and what is broken never."""

import logging
import os
from pathlib import Path

import pytest

from livecomments.runtime.rotation import FromFiles, Rotated
from livecomments.runtime.tls import client_context
from livecomments.runtime.values import as_it_is_now, file_of, secret_in
from livecomments_schemas.errors import StartRefused
from tests.live.secured import make_certificates


def number_in(*files: Path) -> FromFiles[int]:
    """The sum of what is in these files."""
    return FromFiles("number", [str(file) for file in files], lambda: sum(int(file.read_text()) for file in files))


def write(file: Path, text: str) -> None:
    """Replace a file, as it should be done: all at once."""
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


class User:
    """Takes what it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []


def test_what_changes_is_taken_at_the_second_look_and_all_are_told(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    number, user = number_in(file), User()
    number.lend(user, lambda one, value: one.told.append(value))
    number.look()
    write(file, "2")
    number.look()
    assert number.now == 1
    number.look()
    number.look()
    assert (number.now, user.told) == (2, [2])


def test_two_files_are_taken_together(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("10")
    number = number_in(one, other)
    write(one, "2")
    number.look()
    write(other, "20")
    number.look()
    assert number.now == 11
    number.look()
    assert number.now == 22


@pytest.mark.parametrize("broken", ["no number", None])
def test_what_is_broken_leaves_the_former_and_is_said_once(
    tmp_path: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    number = number_in(file)
    if broken is None:
        file.unlink()
    else:
        write(file, broken)
    for _ in range(5):
        number.look()
    assert number.now == 1
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    write(file, "3")
    for _ in range(2):
        number.look()
    assert number.now == 3


@pytest.mark.timeout(60)
def test_a_pipe_is_refused_and_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "n"
    file.write_text("1")
    number = number_in(file)
    file.unlink()
    os.mkfifo(file)
    for _ in range(3):
        number.look()
    assert (number.now, [line.levelno for line in caplog.records]) == (1, [logging.ERROR])
    assert "pipe" in vars(caplog.records[0])["reason"]
    write(file, "2")
    for _ in range(2):
        number.look()
    assert number.now == 2
    os.mkfifo(tmp_path / "secret")
    with pytest.raises(ValueError, match="pipe"):
        secret_in(str(tmp_path / "secret"))


def test_a_link_that_is_pointed_elsewhere_is_a_change(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "n").write_text(name)
    os.utime(tmp_path / "2" / "n", ns=(0, 0))
    os.utime(tmp_path / "1" / "n", ns=(0, 0))
    (tmp_path / "data").symlink_to("1")
    number = number_in(tmp_path / "data" / "n")
    (tmp_path / "new").symlink_to("2")
    (tmp_path / "new").replace(tmp_path / "data")  # as a kubelet changes a mounted Secret
    for _ in range(2):
        number.look()
    assert number.now == 2


def test_what_was_changed_before_the_first_look_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "n"
    file.write_text("1")

    def read() -> int:
        found = int(file.read_text())
        write(file, "2")
        return found

    number = FromFiles("number", [str(file)], read)
    assert number.now == 1
    for _ in range(2):
        number.look()
    assert number.now == 2


def test_who_is_gone_is_told_of_nothing() -> None:
    number, user = Rotated(1), User()
    told = user.told
    number.lend(user, lambda one, value: one.told.append(value))
    del user
    number.replace(2)
    assert told == []


def test_a_secret_knows_its_file_and_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("before\n")
    secret = secret_in(str(file))
    write(file, "after\n")
    assert (secret, file_of(secret), as_it_is_now(secret)) == ("before", str(file), "after")
    assert (file_of("plain"), as_it_is_now("plain")) == ("", "plain")


def test_a_certificate_needs_its_own_key_and_one_that_is_not_encrypted(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mine, other = make_certificates(tmp_path / "a"), make_certificates(tmp_path / "b")
    assert client_context("X_CA", str(mine.ca), certificate=str(mine.keystore))
    key = tmp_path / "key.pem"
    key.write_text(other.keystore.read_text().partition("-----BEGIN CERTIFICATE")[0])
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(encrypted_key())
    for one in (key, encrypted, tmp_path / "missing"):
        with pytest.raises(StartRefused, match="X_CERTIFICATE="):
            client_context("X_CA", str(mine.ca), certificate=str(mine.keystore), key=str(one))


def encrypted_key() -> bytes:
    """A key in PEM that wants a password."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
