"""What a connection waits for, and for how long."""

from enum import Enum

from livecomments.web.bounds import LINGER_S, HttpLimits


class WaitingFor(Enum):
    """What a connection waits for."""

    ANSWER = "that a request is answered, for as long as its client is there"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    REQUEST = "another request"
    LEAVE = "that the client has read the last answer"


def seconds_for(wait: WaitingFor, limits: HttpLimits) -> float:
    """Return how long it may wait; for an answer, until it is looked whether its client is still there."""
    if wait is WaitingFor.ANSWER:
        return limits.look_interval_s
    if wait is WaitingFor.REQUEST:
        return limits.idle_timeout_s
    if wait is WaitingFor.HEAD:
        return limits.head_timeout_s
    return limits.body_timeout_s if wait is WaitingFor.BODY else LINGER_S
