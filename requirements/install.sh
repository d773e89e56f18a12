#!/bin/sh
# Puts this checkout into .venv: `requirements/install.sh run` or `requirements/install.sh dev` (a superset of run).
#
# Does nothing, at once, when .venv already holds what the locks and pyproject.toml say. PYTHON=… chooses the interpreter
# a new .venv is made with. Everything is named relative to the checkout, whose path may hold spaces.
set -eu
cd "$(dirname "$0")/.."
level="${1:?run or dev}"

say() { printf '%s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# What .venv must agree with; the path is part of it, since a virtual environment cannot be moved.
fingerprint="$(pwd -P) $(cat requirements/run.lock requirements/dev.lock pyproject.toml | cksum)"

installed() { [ "$(cat ".venv/installed-$1" 2>/dev/null)" = "$fingerprint" ]; }

find_python() {
    found=""
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        # Version managers leave names on the path that answer with an error: only one that runs counts.
        version="$("$name" -c 'import sys; print("%d.%d" % sys.version_info[:2], int(sys.version_info >= (3, 11)))' 2>/dev/null)" || continue
        case "$version" in
        *' 1') "$name" -c 'import ensurepip, venv' 2>/dev/null && printf '%s' "$name" && return ;;
        esac
        found="$found $name (${version% *})"
    done
    case "$found" in
    '') fail "livecomments needs Python 3.11 or later; none found. Install it, or run: make $level PYTHON=/path/to/python3" ;;
    *'(3.1'[1-9]')'*) fail "Found$found, but without venv and ensurepip. On Debian and Ubuntu: apt-get install python3-venv" ;;
    *) fail "livecomments needs Python 3.11 or later; found only$found. Install one, or name one with PYTHON=/path/to/python3" ;;
    esac
}

# A .venv that was cut short, moved, or has lost its interpreter is made anew; any other is kept with all it holds.
usable() {
    .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null &&
        grep -qF "$(pwd -P)/.venv/bin/python" .venv/bin/pip
}

install() {
    if [ -t 2 ]; then
        .venv/bin/python -m pip install --disable-pip-version-check --progress-bar on "$@"
    else
        .venv/bin/python -m pip install --disable-pip-version-check --quiet "$@"
    fi >&2
}

if usable; then
    if installed "$level" || { [ "$level" = run ] && installed dev; }; then exit 0; fi
else
    python="$(find_python)"
    say "[1/3] Making .venv with $("$python" --version)."
    "$python" -m venv --clear .venv
fi
say "[2/3] Installing the $(grep -c '==' "requirements/$level.lock") locked packages of requirements/$level.lock."
install --require-hashes -r "requirements/$level.lock"
say "[3/3] Installing livecomments itself."
install --no-deps --no-build-isolation -e .
printf '%s\n' "$fingerprint" >".venv/installed-$level"
