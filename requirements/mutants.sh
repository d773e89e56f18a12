#!/bin/sh
# Mutates a room, and says which mutants no test notices: `requirements/mutants.sh [schemas|log|history|store|streams] [MODULE]`.
# Without a room, all five one after another. Of schemas/ every mutant is tried, of the other rooms a sample of 200 that a seed
# chooses; SAMPLE=25 tries so many. Not in CI: behind everything else, an hour of processor time for all of it.
#
# What is changed is mutmut's choice, in an environment of its own; how it is tried is `mutants.py`. Of each module only the
# tests of its room are run that name it, and those elsewhere that are called as it is: a tenth of the time, and a score that is
# no better than that of all tests.
set -eu
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    for room in schemas log history store streams; do sh requirements/mutants.sh $room; done
    exit
fi
here="$(pwd -P)"
room="$1"
module="${2:-*}"
sample="${SAMPLE:-200}" # mutants, of a room that is not tried as a whole
seed=13
case "$room" in
schemas) package=schemas/livecomments_schemas tests="tests/schemas" sample="${SAMPLE:-1000000}" ;;
log) package=livecomments/log tests="tests/log tests/following tests/embedded" ;;
history) package=livecomments/history tests="tests/history" ;;
store) package=livecomments/store tests="tests/store tests/history" ;;
streams) package=streams/livecomments_streams tests="tests/streams" ;;
*)
    echo "no such room: $room" >&2
    exit 2
    ;;
esac
place="$here/.run/mutants"
copy="$place/$room"
mkdir -p "$place"
if [ ! -x "$place/venv/bin/mutmut" ]; then
    python3 -m venv "$place/venv"
    "$place/venv/bin/pip" install --quiet --disable-pip-version-check "$(sed -n 's/^# dependencies = \["\(.*\)"\]$/\1/p' requirements/mutations.py)"
fi
rm -rf "$copy"
mkdir "$copy"
git archive HEAD | tar -x -C "$copy"
cd "$copy"
# Few examples a property, few seeds a model, and always the same: a mutant is noticed, or it is not.
printf '%s\n' 'settings.register_profile("few", settings.get_profile("values"), max_examples=20, derandomize=True, database=None)' \
    'settings.load_profile("few")' >>tests/conftest.py
find tests -name '*.py' -exec sed -i -E -e 's/(max_examples=)[0-9_]+/\120/' -e 's/(SEEDS: Final = range)\([0-9_]+\)/\1(3)/' {} +
printf '\n[tool.mutmut]\nsource_paths = ["%s"]\n' "$package" >>pyproject.toml
named=""
for file in $package/$module.py; do
    name="$(basename "$file" .py)"
    importing="${package##*/}\.$name import"
    found="$(grep -rlE "$importing" --include='test_*.py' $tests | sort || true)"
    own="$(grep -rlE "$importing" --include="test_$name.py" tests | sort || true)" # first: most are noticed there
    [ -n "$found$own" ] || found="$(grep -rlE "$importing" --include='test_*.py' tests | sort || true)"
    found="$own
$(echo "$found" | grep -vE "/test_$name\.py$" || true)"
    [ -n "$(echo $found)" ] || found="$tests"
    named="$named${named:+, }\"$file\": [$(echo $found | sed -e 's/[^ ]*/"&"/g' -e 's/ /, /g')]"
done
# shellcheck disable=SC2086  # one file a word
"$place/venv/bin/python" "$here/requirements/mutations.py" "$copy" $package/$module.py >"$place/$room.jsonl"
folders="$copy:$copy/infra/kafka:$copy/schemas:$copy/gateway:$copy/streams:$copy/consumers:$copy/command:$copy/loadtest"
echo "$room:"
PYTHONPATH="$folders" GROWING_SEEDS=4 TMPDIR="$([ -d /dev/shm ] && echo /dev/shm || echo /tmp)" \
    nice -n 15 "$here/.venv/bin/python" "$here/requirements/mutants.py" "$place/$room.jsonl" "{$named}" "$seed" "$sample"
