"""The roots of the error tree. A leaf is named by who must act: `…Rejected`, `…Unavailable`, `…Corrupt`.

Anything that is raised and is none of these is our bug and ends the process.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Final


class Rejected(Exception):
    """The caller asked for something it may not have; nothing was done. The caller must act.

    `code` is stable and public. The text is for people, says what to do next, and never repeats what was sent.
    """

    code: ClassVar[str] = "rejected"
    headers: Mapping[str, str] = MappingProxyType({})
    """What the answer carries beside the problem."""


class ParameterRejected(Rejected):
    """A parameter that nearly has the name of one that says where to read on, or says two things."""

    code = "invalid_parameter"


class Unavailable(Exception):
    """Something we need is away for now; the same call may succeed later. Retry with a bound."""

    code: ClassVar[str] = "unavailable"
    retry_after_s: ClassVar[int] = 1


class Corrupt(Exception):
    """A record or row that can never be understood. Set it aside with its reason and go on."""


EXIT_TRY_AGAIN: Final = 75
"""EX_TEMPFAIL: nothing is wrong with what a process was given, and whoever supervises it starts it again."""


class StartAgain(Exception):
    """The process has to be started again, and nothing is wrong. The text is one sentence for the operator."""


class StartRefused(Exception):
    """The process cannot do its job with what it was given. Its text tells the operator why, a problem a line."""

    exit_code: ClassVar[int] = 2
    """What the process ends with."""


def leaves_of(error: BaseException) -> list[BaseException]:
    """Return what went wrong, one by one: the exceptions of a group and of the groups in it, or the one itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves_of(inner)]
    return [error]
