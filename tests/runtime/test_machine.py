"""What the machine lets a process have: files shared out so that it keeps some for itself, and memory of its group."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from livecomments.runtime.machine import OpenFiles, memory_bytes

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize("limit", [64, 256, 1_024, 20_000, 1_048_576])
def test_streams_leave_room_for_requests_and_both_for_the_process_itself(limit: int) -> None:
    files = OpenFiles(limit)
    assert limit / 2 <= files.streams_max < files.connections_max < files.refusals_max < limit
    if limit >= 2_048:
        assert limit - files.streams_max == 512


def test_a_process_raises_its_soft_limit_to_the_hard_one() -> None:
    told = subprocess.run(
        [
            *("sh", "-c", 'ulimit -Sn 128 && ulimit -Hn 256 && exec "$0" -c "$1"', sys.executable),
            "import resource; from livecomments.runtime.machine import raise_open_files as up;"
            "print(up().limit, up().limit, *resource.getrlimit(resource.RLIMIT_NOFILE))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["256"] * 4


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, MACHINE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, MACHINE),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1048576\n"}, 1_048_576),
        (  # the narrowest of a group and those above it
            {
                "proc/self/cgroup": "0::/pods/one\n",
                "sys/fs/cgroup/pods/one/memory.max": "max",
                "sys/fs/cgroup/pods/memory.max": "2097152",
                "sys/fs/cgroup/memory.max": "4194304",
            },
            2_097_152,
        ),
        (  # a container that sees the host's path, and its own group where the host's would be
            {"proc/self/cgroup": "0::/../../kubepods/pod1\n", "sys/fs/cgroup/memory.max": "3145728"},
            3_145_728,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/1\n0::/\n",
                "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "1048577",
            },
            1_048_577,
        ),
        (
            {"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}"},
            MACHINE,
        ),
        ({"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/memory.max": "-1 \u00b2"}, MACHINE),
    ],
)
def test_memory_is_the_narrowest_of_the_control_groups_or_the_machines(
    tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    assert memory_bytes(written(tmp_path, files)) == expected
