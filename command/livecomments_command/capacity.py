"""Settings that fit the machine: bounds above what it gives would be met first by whoever should be refused last."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Final, TypeVar

from livecomments.runtime.machine import OpenFiles
from livecomments.runtime.settings import Settings, key_of
from livecomments.runtime.shared_settings import FollowSettings
from livecomments_consumers.settings import HubSettings

_log = logging.getLogger("livecomments.command")
_TAILS_SHARE: Final = 4
"""One part in so many of the memory is for the tails: viewers, what is under way and the interpreter have the rest."""

AnySettings = TypeVar("AnySettings", bound=Settings)


def fitted(settings: AnySettings, files: OpenFiles, memory_bytes: int, environ: Mapping[str, str]) -> AnySettings:
    """Return the settings with what the machine does not give taken back, and say so where somebody had set it.

    Args:
        settings: of a process that serves.
        files: what it may have open.
        memory_bytes: what it may use; bounds that stand in the environment are not held against it.
        environ: where the settings were read from.
    """
    changes: dict[str, int] = {}
    if isinstance(settings, HubSettings) and settings.viewers_max > files.streams_max:
        changes["viewers_max"] = files.streams_max
        if key_of("viewers_max") in environ:
            _log.warning(
                "fewer streams than were set: raise the hard limit of open files (ulimit -Hn, LimitNOFILE, ulimits)",
                extra={"set": settings.viewers_max, "viewers_max": files.streams_max, "open_files": files.limit},
            )
    if isinstance(settings, FollowSettings) and key_of("tails_bytes_max") not in environ:
        changes["tails_bytes_max"] = min(settings.tails_bytes_max, memory_bytes // _TAILS_SHARE)
    return dataclasses.replace(settings, **changes)
