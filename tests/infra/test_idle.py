"""Who keeps an idle connection longest: always the origin, or a request crosses its end."""

import re

from infra.local.jars import ROOM
from livecomments.web.bounds import HTTP_LIMITS


def test_a_balancer_lets_an_idle_connection_go_before_the_origin_does() -> None:
    nginx = (ROOM.parent / "nginx" / "nginx.conf").read_text()
    kept = re.search(r"keepalive 64;(?:\s*#[^\n]*\n)*\s*keepalive_timeout (\d+)s;", nginx)
    assert kept is not None
    assert int(kept[1]) < 60 < HTTP_LIMITS.idle_timeout_s
