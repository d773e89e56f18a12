#!/bin/sh
# Writes requirements/*.lock from pyproject.toml; versions already locked stay unless --upgrade (or -P NAME) is given.
#
# dev.lock is solved first and constrains the others, so that what is tested is what runs. All hold for Python 3.11 and
# later on every platform, with the hash of each file and no download address.
set -eu
cd "$(dirname "$0")/.."
tool="$(mktemp -d)"
trap 'rm -rf "$tool"' EXIT
"${PYTHON:-python3}" -m venv "$tool"
"$tool/bin/python" -m pip install --quiet --disable-pip-version-check uv

compile() {
    output="requirements/$1.lock"
    shift
    "$tool/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
        --output-file "$output" "$@" pyproject.toml
    echo "$output: $(grep -c '==' "$output") packages"
}

compile dev "$@" --extra distributed --extra data --extra tracing --group dev
compile run --constraint requirements/dev.lock --group build
compile distributed --constraint requirements/dev.lock --extra distributed --extra tracing --group build
