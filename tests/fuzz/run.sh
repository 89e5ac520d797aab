#!/bin/bash
# Builds the fuzz targets and lets each look for broken promises for a while.
#
#   tests/fuzz/run.sh [--minutes N] [--jobs N] [TARGET…]
#
#   --minutes N   CPU minutes for each target, 1 if not given
#   --jobs N      targets that run at the same time, 1 if not given
#   TARGET        certificate_fuzz …; all if none is named
#
# Each starts from its seeds in tests/fuzz/corpus and from what earlier runs have found worth keeping, which is kept in
# build/fuzz/corpus/TARGET. One line a target tells executions, coverage and findings. An input that breaks a promise is
# kept in build/fuzz/findings, its path is printed, and the exit code is 1; the target run with that file as its only
# argument breaks it again. A bug that was fixed leaves its input in tests/fuzz/corpus.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"

minutes=1 jobs=1 targets=()
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?--minutes needs a number}; shift 2 ;;
    --jobs) jobs=${2:?--jobs needs a number}; shift 2 ;;
    -h | --help) sed -n '2,13s/^# \{0,1\}//p' tests/fuzz/run.sh; exit 0 ;;
    -*) echo "fuzz: unknown option $1" >&2; exit 2 ;;
    *) targets+=("$1"); shift ;;
  esac
done
if [ ${#targets[@]} = 0 ]; then
  for source in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$source" .cc)"); done
fi

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target "${targets[@]}" -- -j "${LANYARD_BUILD_JOBS:-$(nproc)}" >&2

build=build/fuzz
findings=$build/findings
mkdir -p "$findings"

# One target until its CPU time is used up. libFuzzer only knows a limit by the clock on the wall, of which a busy machine
# takes more; that one ends a target that mostly waits for a socket or the disk.
run_target() {
  local target=$1 seconds=$(($2 * 60)) found=$build/corpus/$1 log=$build/corpus/$1.log code=0
  mkdir -p "$found"
  # The group, so that the shell's own word about a process that a signal ended is not shown.
  # shellcheck disable=SC2016  # for the inner shell
  { bash -c 'ulimit -c 0; ulimit -St "$1"; shift; exec "$@"' _ "$seconds" \
    "$build/tests/fuzz/$target" -max_total_time=$((seconds * 4)) -timeout=60 -rss_limit_mb=4096 -print_final_stats=1 \
    -artifact_prefix="$findings/$target-" "$found" "tests/fuzz/corpus/$target" >"$log" 2>&1; } 2>/dev/null || code=$?
  local executions coverage kept
  executions=$(sed -nE 's/^#([0-9]+)\t.*/\1/p' "$log" | tail -1)
  coverage=$(sed -nE 's/.* cov: ([0-9]+) .*/\1/p' "$log" | tail -1)
  kept=$(find "$found" -type f | wc -l)
  local input
  input=$(sed -nE '/slow-unit/d; s/.*Test unit written to (.*)/\1/p' "$log" | tail -1)  # slow is no finding
  # 152: SIGXCPU, the CPU time is used up.
  if [ "$code" = 0 ] || { [ "$code" = 152 ] && [ -z "$input" ]; }; then
    printf '%-24s %10s executions, coverage %6s, %5s inputs kept, no finding\n' "$target" "${executions:-0}" "${coverage:-0}" "$kept"
    return 0
  fi
  if [ "$code" = 72 ]; then  # what libFuzzer ends with after a signal
    printf '%-24s %10s executions, coverage %6s, interrupted\n' "$target" "${executions:-0}" "${coverage:-0}"
    return 1
  fi
  printf '%-24s %10s executions, coverage %6s, FINDING: %s\n' "$target" "${executions:-0}" "${coverage:-0}" \
    "${input:-none written; ended with $code, see $log}"
  grep -m 3 -E 'a promise is broken|ERROR: |runtime error' "$log" | sed 's/^/    /' || true
  return 1
}
export -f run_target
export build findings

printf '%s\0' "${targets[@]}" | xargs -0 -P "$jobs" -I '{}' bash -c 'run_target "$1" "$2"' _ '{}' "$minutes" && exit 0
echo "fuzz: there are findings, or a target was interrupted; see above" >&2
exit 1
