"""Logs: one line of JSON a record, whatever is in it."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from livecomments.runtime.logs import JsonFormatter, configure
from livecomments_command.settings import RunSettings

BOUND_S: Final = 60.0
NASTY = "a\r\nb\nc\x1b[31m\x07\x00\x7f\x85\u2028\u2029\u202e\ud800\ufeff\x9b31m"


def line_of(message: str, *args: object, exc_info: Any = None, **fields: object) -> str:
    logger = logging.Logger("livecomments.test")
    record = logger.makeRecord(logger.name, logging.WARNING, __file__, 1, message, args, exc_info, extra=fields)
    return JsonFormatter().format(record)


def parsed(line: str) -> dict[str, Any]:
    assert line.splitlines() == [line]
    assert line.isascii()
    assert line.isprintable()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    read = json.loads(line, parse_constant=refuse)
    assert isinstance(read, dict)
    return read


def test_a_line_says_when_how_grave_who_and_what_with_its_fields() -> None:
    line = parsed(line_of("append %s", "failed", partition=3, wait_s=0.5, retried=True, cause=None))
    assert isinstance(line.pop("ts"), float)
    assert line == {
        "level": "warning",
        "component": "livecomments.test",
        "event": "append failed",
        "partition": 3,
        "wait_s": 0.5,
        "retried": True,
        "cause": None,
    }


def test_nothing_in_a_field_ends_the_line_or_reaches_a_terminal() -> None:
    line = parsed(line_of(NASTY, field=NASTY, **{NASTY: NASTY}, nested={NASTY: [NASTY]}))
    assert line["event"] == line["field"] == line[NASTY] == NASTY
    assert line["nested"] == {NASTY: [NASTY]}


@given(st.text(st.characters(exclude_categories=()), max_size=50), st.text(st.characters(exclude_categories=())))
def test_any_text_is_one_line_of_json(message: str, value: str) -> None:
    assert parsed(line_of("%s", message, field=value))["field"] == value[:256]


def test_a_field_cannot_replace_what_every_line_says() -> None:
    line = parsed(line_of("true", event="forged", level="debug", component="other", ts=0))
    assert (line["event"], line["level"], line["component"]) == ("true", "warning", "livecomments.test")
    assert line["ts"] > 0


def test_long_texts_are_cut_wherever_they_stand() -> None:
    long = "x" * 10_000
    line = line_of(long, field=long, path=Path(long), many=[long] * 1_000, raw=long.encode(), deep=[[[[[long]]]]])
    read = parsed(line)
    assert {len(read[name]) for name in ("event", "field", "path", "raw")} == {256}
    assert len(read["many"]) == 100
    assert len(line) < 40_000


def test_what_json_does_not_know_is_told_as_text() -> None:
    line = parsed(line_of("odd", path=Path("/tmp/x"), nan=float("nan"), inf=float("inf"), huge=2**100, names={1: {2}}))
    assert line["path"] == "/tmp/x"
    assert (line["nan"], line["inf"], line["huge"]) == ("nan", "inf", 2**100)
    assert line["names"] == {"1": [2]}


def test_a_field_that_holds_itself_ends_somewhere() -> None:
    loop: list[object] = []
    loop.append(loop)
    parsed(line_of("loop", loop=loop))


def test_all_settings_fit_in_a_line() -> None:
    assert parsed(line_of("started", settings=RunSettings().shown()))["settings"] == RunSettings().shown()


def test_a_traceback_is_in_its_line_and_keeps_its_end() -> None:
    try:
        raise ValueError(NASTY + "x" * 20_000 + "the end")
    except ValueError:
        line = parsed(line_of("failed", exc_info=sys.exc_info()))
    assert line["traceback"].endswith("the end")
    assert len(line["traceback"]) == 8_192
    try:
        raise KeyError("small")
    except KeyError:
        line = parsed(line_of("failed", exc_info=sys.exc_info()))
    assert "Traceback" in line["traceback"]
    assert line["traceback"].endswith("KeyError: 'small'")


def test_whatever_ends_a_command_is_a_line_of_the_log_and_so_is_a_warning() -> None:
    program = """
import warnings
from livecomments_command import __main__
@__main__.app.command()
def fails() -> None:
    warnings.warn("careful")
    raise KeyError("a bug")
__main__.main()
"""
    done = subprocess.run([sys.executable, "-c", program, "fails"], capture_output=True, text=True, timeout=BOUND_S)
    warned, failed = [json.loads(line) for line in done.stderr.splitlines()]
    assert "careful" in warned["event"]
    assert (failed["level"], failed["event"], done.returncode) == ("critical", "unhandled error", 1)
    assert failed["traceback"].endswith("KeyError: 'a bug'")


def test_configured_records_of_every_logger_go_to_stderr_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # pytest's own, which `configure` would close
    try:
        configure(logging.INFO)
        logging.getLogger("somebody.else").info("hello", extra={"n": 1})
        logging.getLogger("somebody.else").debug("too fine")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    (line,) = capsys.readouterr().err.splitlines()
    assert parsed(line)["component"] == "somebody.else"
