"""Kills a command at each thing that it does to files, one after the other: in processes of their own, by SIGKILL."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

_CHANGES = frozenset(("os.rename", "os.remove", "os.mkdir"))


def killed_at_each_event(begin: Callable[[], object], work: Callable[[], object]) -> Iterator[int]:
    """Run `begin` here and `work` in a child that dies before its first change to a file, then its second, and so on.

    Yields the number of the event after each death; ends once `work` came to its end.
    """
    number = 1
    while True:
        begin()
        child = os.fork()
        if not child:
            _work(work, number)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return
        assert os.WTERMSIG(status) == signal.SIGKILL
        yield number
        number += 1


def _work(work: Callable[[], object], number: int) -> None:
    left = number

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in _CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_CREAT):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    with suppress(BaseException):
        sys.addaudithook(count)
        work()
        code = 0
    os._exit(code)
