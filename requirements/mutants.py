"""Tries which mutants the tests notice: `mutants.py MUTANTS TESTS SEED SAMPLE`, from the root of a copy of the tree.

mutmut by itself keeps all mutants in one module, and first asks of each test which functions it calls: that took longer
than all that follows. Here a mutant is a file with one change, which `mutations.py` made, tried in a fork of a process
that has what tests need loaded already: one that is noticed costs half a second. `mutants.sh` calls both.
"""

import importlib.metadata
import json
import os
import random
import resource
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Final

_PYTEST: Final = ("-x", "-q", "--tb=line", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist")
_OPTIONS: Final = ("-p", "no:schemathesis", "-o", "timeout=0", "-m", "not live", "-k", "not meets_what_it_is_about")
"""What a model meets is asserted of all its seeds, and here it has few."""
_WARNINGS: Final = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
"""What is loaded before its fork is not rewritten, which nothing of ours needs."""
_CPU_TIMES: Final = 2
"""As much processor time as its tests take, so often, and `_CPU_MORE_S` more: what runs for ever is noticed, too."""
_CPU_MORE_S: Final = 3
_WALL_TIMES: Final = 40
"""What waits for ever is ended after so many times that."""
_LOADED_LATE: Final = frozenset(("schemathesis",))
"""Plugins that few tests use and that take long to load."""


def run(tests: list[str], cpu_s: int, log: Path) -> tuple[str, float]:
    """Run tests in a fork; what becomes of them, and the processor time they took in seconds."""
    import pytest

    pid = os.fork()
    if not pid:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))
        signal.alarm(cpu_s * _WALL_TIMES)
        into = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(into, 1)
        os.dup2(into, 2)
        sys.dont_write_bytecode = True
        code = 70
        try:
            code = int(pytest.main([*_PYTEST, *_OPTIONS, *_WARNINGS, *tests]))
        finally:
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)  # what its tests have started
    except OSError:
        pass
    if os.WIFSIGNALED(status):
        return "timeout", used.ru_utime + used.ru_stime
    named = {0: "survived", 1: "killed", 2: "killed", 4: "killed"}
    return named.get(os.WEXITSTATUS(status), "not run"), used.ru_utime + used.ru_stime


def attempt(mutants: Path, tests: dict[str, list[str]], seed: int, sample: int) -> None:
    """Try `sample` mutants, in an order that the seed chooses; print those that nothing notices, and the score."""
    for plugin in importlib.metadata.entry_points(group="pytest11"):
        if plugin.name not in _LOADED_LATE:
            plugin.load()
    found = [json.loads(line) for line in mutants.read_text().splitlines()]
    random.Random(seed).shuffle(found)  # noqa: S311 - the same sample again
    log, progress = mutants.with_suffix(".log"), mutants.with_suffix(".progress")
    counts, cpu_s = Counter[str](), {}
    for mutant in found[:sample]:
        file, of_file = Path(mutant["file"]), tests[mutant["file"]]
        if mutant["file"] not in cpu_s:
            said, used = run(of_file, 3_600, log)
            if said != "survived":
                sys.exit(f"{' '.join(of_file)}: fails without a mutant; see {log}")
            cpu_s[mutant["file"]] = int(used * _CPU_TIMES) + _CPU_MORE_S
        before = file.read_text()
        try:
            file.write_text(mutant["code"])
            for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
                compiled.unlink()
            said, _ = run(of_file, cpu_s[mutant["file"]], log)
        finally:
            file.write_text(before)
        counts[said] += 1
        progress.write_text(f"{counts.total()} of {min(sample, len(found))}: {dict(counts)}\n")
        if said not in ("killed", "timeout"):
            print(mutant["id"], said, *mutant["difference"], sep="\n  ", flush=True)
    noticed = counts["killed"] + counts["timeout"]
    print(f"{noticed} of {counts.total()} noticed ({dict(counts)}), of {len(found)}")


if __name__ == "__main__":
    attempt(Path(sys.argv[1]).resolve(), json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
