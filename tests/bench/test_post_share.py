"""The workload of a gateway that has a share."""

from bench.post import PARTITIONS, SHARES, of_a_share
from livecomments_schemas.partitions import partition_of


def test_the_videos_of_a_share_are_all_of_its_partitions_and_leave_none_out() -> None:
    videos = of_a_share(200)
    assert len(set(videos)) == 200
    assert {partition_of(video, PARTITIONS) for video in videos} == set(range(0, PARTITIONS, SHARES))
