"""The public JSON of a comment, the record's own bytes with the id in front, and of a video."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.render import render_comment, render_video

from .records import comment

ID = comment_id(position_at(1, 7), 3)


def test_the_id_is_the_first_member_and_the_rest_is_untouched() -> None:
    value = comment().value
    assert render_comment(ID, value) == b'{"commentId":"' + ID.encode() + b'",' + value[1:]


@given(st.text(max_size=300))
def test_a_rendered_comment_is_its_value_and_its_id_on_one_line(message: str) -> None:
    value = comment(message=message).value
    rendered = render_comment(ID, value)
    assert orjson.loads(rendered) == {"commentId": ID, **orjson.loads(value)}
    assert b"\n" not in rendered
    assert b"\r" not in rendered


def test_a_video_is_told_with_all_that_can_be_set_in_one_order() -> None:
    assert render_video("launch", {"slowModeS": 5, "other": 1}, is_ended=False) == (
        b'{"videoId":"launch","state":"live","title":"","whoMayComment":"everyone","slowModeS":5,"maxCommentsPerS":0}'
    )
    assert orjson.loads(render_video("launch", {}, is_ended=True))["state"] == "ended"
    assert render_video("launch", {}, is_ended=False, pinned=ID).endswith(b',"pinnedCommentId":"%b"}' % ID.encode())
