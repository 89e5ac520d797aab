#!/bin/bash
# Measures Lanyard beside spire-agent and the limit of the machine, prints one table, and keeps the values as JSON.
#
#   tests/bench/run.sh [--build DIR] [--quick] [--without-spire] [--rounds N] [--json FILE] [--fail-at TIMES] [PART…]
#
#   --build DIR       a build that is there; else the release-tests preset is built into build/release-tests
#   --quick           one short round
#   --without-spire   where "tests/peers.sh compiled" has not built it
#   --fail-at TIMES   end with 1 when a figure is so many times worse than its target; else figures fail nothing
#   PART              functions handshake fetch every-kind tokens new-tokens cold streams recipes entries start restart change
#                     bundle-change issue looks docker kubernetes pods-at-once flood renewal pinned curves; all without one
#
# A ratio is one of medians of this run, of what was measured in turn on this machine; docs/PERFORMANCE.md explains each row.
# tests/bench/report.py makes that document's table and picture from the JSON.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

build= arguments=()
while [ $# -gt 0 ]; do
  case "$1" in
    --build) build=$(cd "${2:?--build needs a directory}" && pwd); shift 2 ;;
    --help) sed -n '2,14s/^# \{0,1\}//p' tests/bench/run.sh; exit 0 ;;
    *) arguments+=("$1"); shift ;;
  esac
done
if [ -z "$build" ]; then
  cmake --preset release-tests >/dev/null
  cmake --build --preset release-tests \
    --target lanyard workload_load bare_server attest_bench issue_bench match_bench handshake_bench >/dev/null
  build=$root/build/release-tests
fi
LANYARD_PEERS=$(tests/peers.sh where) LANYARD_BUILD=$build exec python3 tests/bench/bench.py "${arguments[@]+"${arguments[@]}"}"
