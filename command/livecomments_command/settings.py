"""The settings of each process: which parts it takes, and which names in the environment it leaves to others."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from livecomments.runtime import logs
from livecomments.runtime.machine import raise_open_files
from livecomments.runtime.settings import PREFIX, Settings
from livecomments.runtime.shared_settings import (
    DrainSettings,
    EmbeddedSettings,
    FollowSettings,
    InternalSettings,
    LogSettings,
    PublicSettings,
    RecordSettings,
    ServerSettings,
    TraceSettings,
)
from livecomments.runtime.vitals import own_version
from livecomments_consumers.settings import HubSettings
from livecomments_gateway.settings import WriteSettings
from livecomments_streams.settings import GroupSettings, PersistSettings

_log = logging.getLogger("livecomments.command")


@dataclass(frozen=True, kw_only=True)
class RunSettings(
    PersistSettings,
    DrainSettings,
    HubSettings,
    WriteSettings,
    FollowSettings,
    EmbeddedSettings,
    TraceSettings,
    RecordSettings,
    PublicSettings,
):
    """Settings of `livecomments run`: the whole service in one process."""


@dataclass(frozen=True, kw_only=True)
class ServingSettings(FollowSettings, TraceSettings, ServerSettings, InternalSettings, PublicSettings):
    """Settings of a process of the distributed form that serves: a gateway or an edge."""


@dataclass(frozen=True, kw_only=True)
class GatewaySettings(WriteSettings, ServingSettings):
    """Settings of `livecomments gateway`."""

    appends_soon = True


@dataclass(frozen=True, kw_only=True)
class EdgeSettings(DrainSettings, HubSettings, ServingSettings):
    """Settings of `livecomments edge`."""


@dataclass(frozen=True, kw_only=True)
class StreamSettings(PersistSettings, GroupSettings, TraceSettings, ServerSettings, InternalSettings):
    """Settings of `livecomments stream`."""


@dataclass(frozen=True, kw_only=True)
class DerivingSettings(EmbeddedSettings, ServerSettings, InternalSettings):
    """Settings of `livecomments counts` and `livecomments clean`: jobs that make topics of the log."""


@dataclass(frozen=True, kw_only=True)
class ToolSettings(EmbeddedSettings, ServerSettings):
    """Settings of the commands for topics, schema and records, which find a log and a store of either form."""


KEPT_SECRET: Final = "session-secret"  # noqa: S105 - a file name
"""In the data directory, where no setting says what signs sessions."""

PROCESSES: Final[Mapping[str, type[Settings]]] = {
    "run": RunSettings,
    "gateway": GatewaySettings,
    "edge": EdgeSettings,
    "stream": StreamSettings,
    "counts, clean": DerivingSettings,
    "tools": ToolSettings,
}
"""By the name that docs/CONFIG.md and the logs call them."""
KEYS: Final = frozenset[str]().union(*(kind.environment_keys() for kind in PROCESSES.values()))
"""Every name in the environment that some process takes."""

AnySettings = TypeVar("AnySettings", bound=Settings)


def load(kind: type[AnySettings], environ: Mapping[str, str], **overrides: Any) -> AnySettings:
    """Read a process's settings, and tell in the log which names in the environment only others take.

    Raises:
        StartRefused: with every problem found, a line each; a name that no process takes is one.
    """
    settings = kind.load(environ, elsewhere=KEYS, **overrides)
    if isinstance(settings, LogSettings):
        logs.use_level(settings.log_level)
    passed_over = sorted(key for key in environ if key.startswith(PREFIX) and key not in kind.environment_keys())
    if passed_over:
        _log.info("not taken: settings of other processes", extra={"names": passed_over})
    return settings


def tell(process: str, settings: Settings) -> None:
    """Log which version starts, with what values, secrets masked, and how many files it may have open."""
    told = {"command": process, "version": own_version(), "settings": settings.shown()}
    _log.info("starting", extra={**told, "open_files_max": raise_open_files().limit})
