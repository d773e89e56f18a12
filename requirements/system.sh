#!/bin/sh
# Brings what tests start beside Python: `requirements/system.sh`, or `requirements/system.sh tell` to install nothing.
#
# Does nothing, at once, when all of it is here. Installs what is missing where it may, which is as root with apt-get;
# elsewhere it says which tests will be skipped, and the one command that brings what they need. It never fails: a test
# whose program is missing skips, and fails in CI.
set -u
may="${1:-install}"

# A program or file, the Debian package that brings it, and the tests that want it (held by tests/infra/test_system.py).
# MiniBrowser, of WebKitGTK, is on no path; without a font Chromium draws no text.
needs='
javac openjdk-17-jdk-headless tests of a real Kafka and Cassandra, tests/conformance, tests/generators
mvn maven tests of a real Kafka and Cassandra, tests/conformance, tests/generators
haproxy haproxy tests/bench, tests/conformance, tests/helm, tests/infra, tests/live
nginx nginx-light tests/conformance, tests/infra
varnishd varnish tests/infra
/usr/lib/nginx/modules/ngx_http_lua_module.so libnginx-mod-http-lua tests/infra
curl curl tests/conformance
kcat kcat tests/live
systemd-analyze systemd tests/command
promtool prometheus tests/monitoring
node nodejs tests/browser, tests/clients, tests/conformance
npm npm tests/browser, tests/clients, tests/conformance
go golang-go tests/conformance
cargo cargo tests/conformance
chromium chromium tests/browser, tests/conformance
firefox-esr firefox-esr tests/conformance
Xvfb xvfb tests/conformance
fc-list fontconfig tests/browser
/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser libwebkit2gtk-4.1-0 tests/conformance
/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core tests/browser
'

PATH="$PATH:/usr/sbin:/sbin"
packages=""
skipped=""
add() { packages="$packages $1"; }
while read -r program package tests; do
    [ -n "$program" ] || continue
    command -v "$program" >/dev/null 2>&1 || [ -e "$program" ] || {
        add "$package"
        skipped="$skipped
    without $package: $tests"
    }
done <<END
$needs
END
python3 -c 'import ensurepip, venv' 2>/dev/null || add python3-venv
[ -n "$packages" ] || exit 0

if [ "$may" = install ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$packages." >&2
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # words on purpose
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages >/dev/null && exit 0
    echo "That did not work." >&2
fi
echo "Tests will be skipped, or skipped in part:$skipped
To bring what they need: sudo apt-get install --no-install-recommends$packages" >&2
