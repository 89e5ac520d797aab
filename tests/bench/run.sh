#!/bin/bash
# Measures and prints; asserts nothing. One table: the figure, its value, the command that gives it.
#
#   tests/bench/run.sh [--build DIR]
#
#   --build DIR   a build that is there; else the release-tests preset is built into build/release-tests
#
# Figures are of this machine under its load of the moment; the head of the table says which machine that is.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

build=
while [ $# -gt 0 ]; do
  case "$1" in
    --build) build=$(cd "${2:?--build needs a directory}" && pwd); shift 2 ;;
    *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
  esac
done
if [ -z "$build" ]; then
  cmake --preset release-tests >/dev/null
  cmake --build --preset release-tests --target lanyard attest_bench issue_bench match_bench >/dev/null
  build=$root/build/release-tests
fi

printf '%s, %s CPUs, load %s, kernel %s, %s build\n' \
  "$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n1)" "$(nproc)" "$(cut -d' ' -f1 /proc/loadavg)" \
  "$(uname -r)" "$(sed -n 's/^CMAKE_BUILD_TYPE:[A-Z]*=//p' "$build/CMakeCache.txt")"
printf '%-58s %-34s %s\n' figure value command

# What the programs print begins with the name of the figure; two spaces or more end it.
functions() {
  local name=$1
  "$build/tests/bench/$name" 2>&1 | sed -E 's/^ +//; s/ {2,}/ /g' | while IFS= read -r line; do
    printf '%-93s %s\n' "$line" "$name"
  done
}
code=0
for name in attest_bench issue_bench match_bench; do functions "$name" || code=1; done
LANYARD_BUILD=$build python3 tests/bench/socket_bench.py || code=1
exit "$code"
