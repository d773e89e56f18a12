#!/bin/sh
# Mutates schemas/ and says which mutants no test notices: `requirements/mutants.sh`, or for one module
# `requirements/mutants.sh window`. Not in CI: an hour for all of it, on one core, behind everything else.
#
# mutmut has an environment of its own, beside that of `requirements/install.sh dev`, and a copy of what is committed, with
# the packages where it looks for them. Left out are tests of memory and of golden files: they see the mutants' machinery.
set -eu
cd "$(dirname "$0")/.."
here="$(pwd -P)"
only="${1:-*}"
room="$here/.run/mutants"
copy="$room/checkout"
mkdir -p "$room"
if [ ! -x "$room/venv/bin/mutmut" ]; then
    python3 -m venv "$room/venv"
    site="$("$room/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
    "$here/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/tools.pth"
    "$room/venv/bin/pip" install --quiet --disable-pip-version-check mutmut==3.8.1
fi
rm -rf "$copy"
mkdir "$copy"
git archive HEAD | tar -x -C "$copy"
cd "$copy"
mv schemas/livecomments_schemas schemas/examples gateway/livecomments_gateway streams/livecomments_streams \
    consumers/livecomments_consumers command/livecomments_command loadtest/livecomments_loadtest \
    infra/kafka/livecomments_topics .
# Few examples a property, and always the same: a mutant is noticed, or it is not.
printf '%s\n' 'settings.register_profile("few", settings.get_profile("values"), max_examples=20, derandomize=True)' \
    'settings.load_profile("few")' >>tests/conftest.py
cat >>pyproject.toml <<END

[tool.mutmut]
source_paths = ["livecomments_schemas"]
only_mutate = ["livecomments_schemas/$only.py"]
also_copy = [
    "bench", "chaos", "docs", "examples", "infra", "livecomments", "livecomments_command", "livecomments_consumers",
    "livecomments_gateway", "livecomments_loadtest", "livecomments_streams", "livecomments_topics", "schemas",
]
pytest_add_cli_args_test_selection = ["tests/schemas"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-o", "timeout=0", "-k", "not memory and not golden"]
END
nice -n 19 "$room/venv/bin/mutmut" run --max-children 1
"$room/venv/bin/mutmut" results
