#!/bin/sh
# Mutates a room, and says which mutants no test notices: `requirements/mutants.sh [schemas|log|history|store|streams] [MODULE]`.
# Without a room, all five one after another. Of schemas/ every mutant is tried, of the other rooms a sample of 200 that a seed
# chooses. Not in CI: an hour or two for all of it, on one core, behind everything else.
#
# mutmut has an environment of its own, beside that of `requirements/install.sh dev`, and a copy of what is committed, with
# the packages where it looks for them. Left out are tests with real servers, and tests of memory and of golden files: they
# see the mutants' machinery.
set -eu
cd "$(dirname "$0")/.."
if [ $# -eq 0 ]; then
    for room in schemas log history store streams; do sh requirements/mutants.sh $room; done
    exit
fi
here="$(pwd -P)"
room="$1"
module="${2:-*}"
sample=200 # mutants, of a room that is not tried as a whole
seed=13
case "$room" in
schemas) package=livecomments_schemas tests='"tests/schemas"' sample=all ;;
log) package=livecomments/log tests='"tests/log", "tests/following", "tests/embedded"' ;;
history) package=livecomments/history tests='"tests/history"' ;;
store) package=livecomments/store tests='"tests/store", "tests/history"' ;;
streams) package=livecomments_streams tests='"tests/streams"' ;;
*)
    echo "no such room: $room" >&2
    exit 2
    ;;
esac
# Of one module only the tests that name it: a tenth of the time, and a score that is no better than that of all tests.
if [ "$module" != "*" ]; then
    found="$(grep -rlE "(${package##*/}|$(echo "$package" | tr / .))\.$module import" --include='test_*.py' $(echo "$tests" | tr -d '",') || true)"
    [ -z "$found" ] || tests="$(echo "$found" | sed -e 's/.*/"&"/' | paste -sd, -)"
fi
place="$here/.run/mutants"
copy="$place/$room"
mkdir -p "$place"
if [ ! -x "$place/venv/bin/mutmut" ]; then
    python3 -m venv "$place/venv"
    "$place/venv/bin/pip" install --quiet --disable-pip-version-check mutmut==3.8.1
fi
site="$("$place/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
"$here/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$site/tools.pth"
rm -rf "$copy"
mkdir "$copy"
git archive HEAD | tar -x -C "$copy"
cd "$copy"
mv schemas/livecomments_schemas schemas/examples gateway/livecomments_gateway streams/livecomments_streams \
    consumers/livecomments_consumers command/livecomments_command loadtest/livecomments_loadtest \
    infra/kafka/livecomments_topics .
# Few examples a property, few seeds a model, and always the same: a mutant is noticed, or it is not.
printf '%s\n' 'settings.register_profile("few", settings.get_profile("values"), max_examples=20, derandomize=True)' \
    'settings.load_profile("few")' >>tests/conftest.py
find tests -name '*.py' -exec sed -i -E -e 's/(max_examples=)[0-9_]+/\120/' -e 's/(SEEDS: Final = range)\([0-9_]+\)/\1(3)/' {} +
copied=""
for folder in bench chaos docs examples infra livecomments livecomments_command livecomments_consumers \
    livecomments_gateway livecomments_loadtest livecomments_schemas livecomments_streams livecomments_topics schemas; do
    [ "$folder" = "${package%%/*}" ] || copied="$copied\"$folder\", "
done
# A mutant gets four times the seconds of its tests, and twenty more: what waits for ever is noticed too, and says `timeout`.
cat >>pyproject.toml <<END

[tool.mutmut]
source_paths = ["${package%%/*}"]
only_mutate = ["$package/$module.py"]
also_copy = [$copied]
pytest_add_cli_args_test_selection = [$tests]
pytest_add_cli_args = [
    "-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-o", "timeout=0", "-m", "not live", "-k", "not memory and not golden",
]
timeout_multiplier = 4.0
timeout_constant = 5.0
END
names="*"
[ "$sample" = all ] || names="$("$place/venv/bin/python" - "$sample" "$seed" "$package" "$module" <<'END'
import random
import sys
from pathlib import Path

from mutmut.__main__ import get_mutant_name
from mutmut.mutation.file_mutation import mutate_file_contents

size, seed, package, module = sys.argv[1:]
names = [
    get_mutant_name(path, name)
    for path in sorted(Path(package).glob(f"{module}.py"))
    for name in mutate_file_contents(str(path), path.read_text()).mutant_names
]
print(*sorted(random.Random(int(seed)).sample(names, min(int(size), len(names)))), sep="\n")
END
)"
# shellcheck disable=SC2086  # one name a word; none holds a character of the shell's
set -f
TMPDIR="$([ -d /dev/shm ] && echo /dev/shm || echo /tmp)" nice -n 19 "$place/venv/bin/mutmut" run --max-children 1 $names >"$place/$room.log" 2>&1 || { tail -40 "$place/$room.log"; exit 1; }
"$place/venv/bin/mutmut" results --all true | tail -n +1 | grep -v "not checked" >"$place/$room.txt" || true
echo "$room: $(awk '{ count[$NF] += 1 } END { for (each in count) printf "%s %d ", each, count[each] }' "$place/$room.txt")"
grep -vE ': (killed|timeout)$' "$place/$room.txt" || true
