"""How much time has passed for what the embedded file holds, by a clock that may run ahead.

The embedded log stamps its records with this machine's clock. A clock that is set ahead, at a start or meanwhile, would
say that all of it is old, and what it says would be kept. So only time that passed while the service ran counts: where
the clock goes ahead by more (a leap), what was there before is no older for it. For how long a service was down nobody
knows but the clock; that is a leap too, and what was there before it is kept as much longer.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, NoReturn

from livecomments.embedded.log_rows import newest_ms
from livecomments.runtime.retrying import retrying, told
from livecomments.sqlite import DurableFile, FileUnavailable

_TABLE: Final = "CREATE TABLE IF NOT EXISTS clock_leaps (before_ms INTEGER NOT NULL, after_ms INTEGER NOT NULL)"
_LEAP_MS: Final = 60_000
"""Less is a clock that is set right while the service runs, or the pause of a restart."""
_LEAPS_MAX: Final = 100
"""When there are more, the oldest two are taken for one, by which what was there before is kept longer."""
_LOOK_INTERVAL_S: Final = 1.0

_log = logging.getLogger("livecomments.store")


class Leap(NamedTuple):
    """What the clock said, and would have said, when it went ahead: Unix milliseconds."""

    before_ms: int
    after_ms: int


class Elapsed:
    """Leaps of the clock, the oldest first, and the age of what was stamped by it.

    Args:
        leaps: those that are known.
        newest_ms: the newest stamp there is, Unix milliseconds; None if there is none.
        clock: Unix seconds.
        monotonic: seconds that pass.
    """

    def __init__(
        self,
        leaps: Iterable[Leap] = (),
        newest_ms: int | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.leaps = list(leaps)
        self._clock = clock
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._said_ms = max([newest_ms or 0, *(leap.after_ms for leap in self.leaps)]) or self._now_ms()
        self.look()

    def look(self) -> bool:
        """Compare the clock with the time that passed; true if it leapt."""
        looked_at, now_ms = self._monotonic(), self._now_ms()
        before_ms = self._said_ms + int((looked_at - self._looked_at) * 1_000)
        self._looked_at, self._said_ms = looked_at, now_ms
        self._set_back(before_ms - now_ms)
        if now_ms - before_ms <= _LEAP_MS:
            return False
        self.leaps.append(Leap(before_ms, now_ms))
        if len(self.leaps) > _LEAPS_MAX:
            (before_ms, _), (_, after_ms) = self.leaps[:2]
            self.leaps[:2] = [Leap(before_ms, after_ms)]
        return True

    def older_than(self, age_ms: int) -> int:
        """Return the newest stamp of what is `age_ms` old or older, Unix milliseconds."""
        self.look()
        stamp_ms = self._said_ms - age_ms
        for before_ms, after_ms in reversed(self.leaps):
            if stamp_ms >= after_ms:
                break  # so long it has run since
            stamp_ms = min(stamp_ms - (after_ms - before_ms), before_ms)
        return stamp_ms

    def _set_back(self, by_ms: int) -> None:
        """Take back what the clock took back, of its newest leaps first: so much had not been so."""
        while by_ms > _LEAP_MS and self.leaps:
            before_ms, after_ms = self.leaps.pop()
            if after_ms - by_ms > before_ms:
                self.leaps.append(Leap(before_ms, after_ms - by_ms))
            by_ms -= after_ms - before_ms

    def _now_ms(self) -> int:
        return int(self._clock() * 1_000)


async def elapsed_of(
    file: DurableFile, *, clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> Elapsed:
    """Return what is known of time in a file, and keep there what its opening shows. Raises FileUnavailable."""
    await file.write(lambda connection: connection.execute(_TABLE))
    leaps, newest = await file.read(_read)
    elapsed = Elapsed(leaps, newest, clock=clock, monotonic=monotonic)
    await _keep(file, elapsed)
    return elapsed


async def keep_leaps(file: DurableFile, elapsed: Elapsed) -> NoReturn:
    """Look at the clock every second, and keep in the file how it leapt, until cancelled."""
    kept = list(elapsed.leaps)

    async def keep() -> None:
        await _keep(file, elapsed)

    while True:
        await asyncio.sleep(_LOOK_INTERVAL_S)
        elapsed.look()
        if elapsed.leaps != kept:
            kept = list(elapsed.leaps)
            _log.warning("the clock was set, rows and revoked sessions are kept by the time that passed")
            await retrying(keep, told(_log, "the clock's leap is not kept yet, trying again"), on=FileUnavailable)


async def _keep(file: DurableFile, elapsed: Elapsed) -> None:
    leaps = list(elapsed.leaps)

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM clock_leaps")
        connection.executemany("INSERT INTO clock_leaps (before_ms, after_ms) VALUES (?, ?)", leaps)

    await file.write(write)


def _read(connection: sqlite3.Connection) -> tuple[list[Leap], int | None]:
    found = connection.execute("SELECT before_ms, after_ms FROM clock_leaps ORDER BY rowid")
    return [Leap(*columns) for columns in found], newest_ms(connection)
