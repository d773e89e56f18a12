"""The schedule: the same from the same seed, all of it, in time order."""

from collections import Counter
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest

from livecomments_loadtest import LoadPlan, PlanRejected
from livecomments_loadtest.chat import CHAT
from livecomments_loadtest.schedule import AWAY_S_MAX, LATER_S_MAX, Mode, duration_s, posts, read_chat, viewers

PLAN = LoadPlan(url="http://localhost:8080", chat=CHAT, videos=7, comments=5_000, viewers=60, authors_max=50)


def test_the_real_chat_is_read_whole() -> None:
    chat = read_chat(CHAT)
    assert len(chat) == 3_090
    assert len({line.author for line in chat}) == 836
    assert all(earlier.offset_s < later.offset_s for earlier, later in pairwise(chat))


def test_the_same_seed_schedules_the_same_and_another_something_else() -> None:
    chat = read_chat(CHAT)
    again, other = replace(PLAN, tag="another"), replace(PLAN, seed=2)
    assert list(posts(PLAN, chat)) == list(posts(again, chat))
    assert list(posts(PLAN, chat)) != list(posts(other, chat))
    assert viewers(PLAN, 60) == viewers(again, 60) != viewers(other, 60)
    first, second = (list(islice(viewers(PLAN, 60)[3].drops(2.0), 9)) for _ in range(2))
    assert first == second


def test_all_comments_are_posted_in_time_order_over_all_videos() -> None:
    chat = read_chat(CHAT)
    planned = list(posts(PLAN, chat))
    lasts_s = duration_s(PLAN, chat)
    assert [post.n for post in planned] == list(range(5_000))
    assert all(earlier.at_s <= later.at_s for earlier, later in pairwise(planned))
    assert planned[-1].at_s == pytest.approx(lasts_s, rel=0.5)
    assert sorted(Counter(post.video for post in planned).values()) == [714] * 5 + [715] * 2
    assert {post.session for post in planned} == set(range(50))


def test_a_chat_shorter_than_a_video_goes_round() -> None:
    chat = read_chat(CHAT)
    plan = replace(PLAN, videos=1, comments=7_000)
    planned = list(posts(plan, chat))
    assert planned[0].message == planned[3_090].message == planned[6_180].message
    assert planned[3_090].at_s * plan.speed == pytest.approx(chat[-1].offset_s + 1)


def test_repeats_and_deletes_have_their_shares_and_never_meet() -> None:
    planned = list(posts(replace(PLAN, repeat_share=0.2, delete_share=0.1), read_chat(CHAT)))
    repeats = [post.repeat_after_s for post in planned if post.repeat_after_s is not None]
    deletes = [post.delete_after_s for post in planned if post.delete_after_s is not None]
    assert len(repeats) == pytest.approx(1_000, rel=0.15)
    assert len(deletes) == pytest.approx(500, rel=0.2)
    assert repeats.count(0) == pytest.approx(500, rel=0.2)
    assert max(repeats + deletes) <= LATER_S_MAX
    assert not [post for post in planned if post.repeat_after_s is not None and post.delete_after_s is not None]


def test_viewers_come_in_by_every_mode_and_are_spread_over_the_videos() -> None:
    scripts = viewers(PLAN, 60)
    assert {script.mode for script in scripts} == set(Mode)
    assert {script.video for script in scripts} == set(range(7))
    assert all(0 <= script.starts_at_s <= 48 and 1 <= script.size <= 100 for script in scripts)
    drops = list(islice(scripts[0].drops(60.0), 200))
    assert {drop.mid_event for drop in drops} == {drop.by_after for drop in drops} == {True, False}
    assert sum(drop.after_s for drop in drops) / 200 == pytest.approx(1.0, rel=0.3)
    assert all(0 <= drop.away_s <= AWAY_S_MAX for drop in drops)
    assert next(scripts[0].drops(0), None) is None


def test_every_problem_of_a_plan_is_said_at_once() -> None:
    with pytest.raises(PlanRejected, match=r"url must .*; videos must .*; speed must "):
        LoadPlan(url="localhost", chat=CHAT, videos=0, speed=0)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no json",
        '{"offsetMs": 1}',
        "[1]",
        *['{"offsetMs": 9, "author": "a", "message": "b"}\n{"offsetMs": 1, "author": "a", "message": "b"}'],
    ],
)
def test_what_is_no_chat_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "chat").write_text(content)
    with pytest.raises(PlanRejected, match="chat: "):
        read_chat(tmp_path / "chat")
