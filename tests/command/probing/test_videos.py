"""The probe's videos lie in every partition, and their ids tell how many there are."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from livecomments_command.probing.videos import NAME, PREFIX, looked_at, partition_count_of, video_ids
from livecomments_schemas.partitions import parse_video_id, partition_of

NAMES = st.from_regex(NAME, fullmatch=True)


@given(NAMES, st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_each_partition_has_a_video_of_the_probe_and_the_next_run_has_the_same(name: str, partitions: int) -> None:
    videos = video_ids(name, partitions)
    assert [partition_of(video, partitions) for video in videos] == list(range(partitions))
    assert all(parse_video_id(video).startswith(PREFIX) for video in videos)
    assert video_ids(name, partitions) == videos


@given(NAMES, st.integers(1, 5_000))
def test_where_some_videos_live_tells_how_many_partitions_there_are(name: str, partitions: int) -> None:
    homes = [(video, partition_of(video, partitions)) for video in looked_at(name)]
    assert partition_count_of(homes) == partitions


@pytest.mark.parametrize("name", ["probe", "test", "canary"])
def test_the_names_in_use_tell_every_number_of_partitions(name: str) -> None:
    for partitions in range(1, 1_025):
        assert partition_count_of([(one, partition_of(one, partitions)) for one in looked_at(name)]) == partitions


def test_homes_of_two_numbers_of_partitions_tell_none() -> None:
    old, new = looked_at("probe")[:12], looked_at("probe")[12:]
    homes = [(video, partition_of(video, 8)) for video in old] + [(video, partition_of(video, 24)) for video in new]
    assert partition_count_of(homes) in (None, 8)
    assert partition_count_of([(video, 63) for video in old]) is None
    assert partition_count_of([]) is None
