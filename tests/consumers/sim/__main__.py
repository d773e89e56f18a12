"""Runs seeds from the command line: `make sim ARGS="--seeds 100000 --start 5000"`. One seed is told in full."""

import argparse
import sys
import time
from collections import Counter

from tests.consumers.sim.run import Failure, run_many, run_seed


def main() -> int:
    """Returns how many seeds went wrong, at most 1."""
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000, help="how many (2,000)")
    parser.add_argument("--start", type=int, default=0, help="the first one (0)")
    options = parser.parse_args()
    seen: Counter[str] = Counter()
    if options.seeds == 1:
        failure = run_seed(options.start, seen)
        sys.stdout.write(f"{failure.trace}\n{failure.what}\n" if failure else "It goes right.\n")
        return 1 if failure else 0
    began_at = time.monotonic()
    failed = run_many(range(options.start, options.start + options.seeds), seen, _tell)
    took_s = time.monotonic() - began_at
    sys.stdout.write("".join(f"{count:10,} {what}\n" for what, count in sorted(seen.items())))
    sys.stdout.write(f"{options.seeds} seeds in {took_s:.0f} s, {options.seeds / took_s * 60:,.0f} a minute, ")
    sys.stdout.write(f"{failed} went wrong.\n")
    return 1 if failed else 0


def _tell(failure: Failure) -> None:
    sys.stdout.write(f"Seed {failure.seed}: {failure.what}\n  {failure.replay}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
