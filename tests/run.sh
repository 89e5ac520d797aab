#!/bin/bash
# Installs what the tests need, builds, and runs all of them.
#
#   tests/run.sh [--preset NAME] [--fast] [CTEST-ARGUMENT…]
#
#   --preset NAME   dev (the default), release-tests, asan, tsan or coverage
#   --fast          unit and structure tests only: nothing is started, nothing fetched
#   everything else goes to ctest, e.g. -R FetchTest
#
# Ends with ctest's closing lines and ctest's exit code. The whole output of ctest is also in build/NAME/ctest.log.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

preset=dev
fast=
ctest_arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --preset) preset=${2:?--preset needs a name}; shift 2 ;;
    --fast) fast=yes; shift ;;
    -h | --help) sed -n '2,10s/^# \{0,1\}//p' tests/run.sh; exit 0 ;;
    *) ctest_arguments+=("$1"); shift ;;
  esac
done

say() { printf '== %s (%s s)\n' "$*" "$SECONDS"; }

deploy/packages.sh test || echo "== going on with what is there" >&2
say "configure and build the $preset preset"
cmake --preset "$preset" >/dev/null
cmake --build --preset "$preset" -- -k 0
if [ -n "$fast" ]; then
  ctest_arguments+=(-LE 'integration|conformance|runtimes|kubernetes')
else
  say "prepare other people's programs"
  LANYARD_PEERS=$(tests/peers.sh)
  export LANYARD_PEERS
fi
say "run the tests"
# Not under strangers' settings: what a user's shell says about sockets and directories must not reach the programs under test.
unset SPIFFE_ENDPOINT_SOCKET LANYARD_ADMIN_SOCKET LD_PRELOAD XDG_RUNTIME_DIR
# One more than there are processors: many tests wait, for a rotation, say.
code=0
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(($(nproc) + 1))" "${ctest_arguments[@]}" 2>&1 |
  tee "build/$preset/ctest.log" || code=$?
exit "$code"
