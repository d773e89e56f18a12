"""The public JSON of a comment: the record's own bytes with the id in front."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from livecomments_schemas.positions import comment_id, position_at
from livecomments_schemas.render import render_comment

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
