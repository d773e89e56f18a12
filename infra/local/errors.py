"""The one error of this room."""


class ServerUnavailable(Exception):
    """A server cannot be had on this machine or did not come up. The text says what to do about it."""
