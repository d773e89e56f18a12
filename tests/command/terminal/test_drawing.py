"""Events as lines: what people wrote stays text, on one line."""

import json
from typing import Any

import pytest

from livecomments_command.terminal.drawing import REMEMBERED_MAX, EventLines, json_line, plain
from livecomments_command.terminal.following import VideoEvent


def comment(comment_id: str, message: str, name: str = "Ana") -> VideoEvent:
    told: dict[str, Any] = {
        "commentId": comment_id,
        "message": message,
        "author": {"id": "u1", "displayName": name},
        "createdAt": "2026-11-22T10:20:30.123Z",
    }
    return VideoEvent("comment", told)


def delete(comment_id: str) -> VideoEvent:
    return VideoEvent("delete", {"commentId": comment_id})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("4:100: [red]not red[/nope] :smile:", "4:100: [red]not red[/nope] :smile:"),
        ("\x1b[31mred\x1b]0;title\x07", "\ufffd[31mred\ufffd]0;title\ufffd"),
        ("a\r\nb\x85c\u2028d", "a\ufffd ⏎ b\ufffdc\ufffdd"),
        ("\u202eevil\u2066", "\ufffdevil\ufffd"),
        ("👩‍👩‍👧 é\u0301 مرحبا", "👩‍👩‍👧 é\u0301 مرحبا"),
        ("\x9b31m", "\ufffd31m"),
    ],
)
def test_nothing_in_a_text_is_obeyed(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_comment_is_a_line_and_its_delete_strikes_it_through() -> None:
    lines = EventLines(colour=True)
    (line,) = lines.of(comment("1", "hello\x1b[0m", name="A\nna"))
    assert line.count("\x1b[") == 4, "two styles begin and end, and none of them is the author's"
    (struck,) = lines.of(delete("1"))
    assert struck == "\x1b[9;2m10:20:30 A ⏎ na: hello\ufffd[0m\x1b[0m"
    assert list(lines.of(delete("1"))) == []


def test_without_colour_there_are_no_escapes() -> None:
    lines = EventLines(colour=False)
    assert list(lines.of(comment("1", "hello"))) == ["10:20:30 Ana: hello"]
    assert list(lines.of(delete("1"))) == ["deleted: 10:20:30 Ana: hello"]
    assert "missing" in next(iter(lines.of(VideoEvent("gap", {"from": "1", "to": "2"}))))


def test_a_bounded_number_of_comments_is_remembered() -> None:
    lines = EventLines(colour=False)
    for number in range(REMEMBERED_MAX + 1):
        list(lines.of(comment(str(number), "x")))
    assert list(lines.of(delete("0"))) == []
    assert list(lines.of(delete("1"))) != []


def test_for_programs_an_event_is_a_line_of_json() -> None:
    line = json_line(comment("1", "two\nlines"))
    assert "\n" not in line
    assert json.loads(line)["event"] == "comment"
    assert json.loads(line)["message"] == "two\nlines"
