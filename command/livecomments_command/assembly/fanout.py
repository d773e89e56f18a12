"""An edge's fan-out, made from settings."""

from livecomments.runtime.settings import Settings
from livecomments_consumers.hub import HubSettings


def hub_settings(settings: Settings) -> HubSettings:
    """Return the hub's part of the settings."""
    return HubSettings(
        heartbeat_interval_s=settings.heartbeat_interval_s,
        stale_after_s=settings.stale_after_s,
        window_min_s=settings.window_min_ms / 1000,
        window_max_s=settings.window_max_ms / 1000,
        viewer_stuck_s=settings.viewer_stuck_s,
        viewer_life_s=settings.viewer_life_s,
        viewers_max=settings.viewers_max,
        viewers_per_address_max=settings.viewers_per_address_max,
    )
