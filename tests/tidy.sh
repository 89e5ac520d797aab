#!/bin/bash
# Runs clang-tidy with the repository's .clang-tidy over every tracked .cc file; a finding is a failure.
#
#   tests/tidy.sh [--build DIR]… [FILE-OR-DIRECTORY…]
#
#   --build DIR   a build whose compile_commands.json says how files are compiled, configured and built with Ninja; the first
#                 that knows a file is used. Without one: build/release-tests, and build/fuzz where it is there
#
# What was found clean is not looked at again until it, a header of ours that it includes, its compiler options, .clang-tidy or
# an installed package has changed; that is kept in $LANYARD_TIDY_CACHE, else ~/.cache/lanyard-tidy. A file that no build knows
# is a failure too: code that is not compiled is not looked at.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

builds=() wanted=()
while [ $# -gt 0 ]; do
  case "$1" in
    --build) builds+=("${2:?--build needs a directory}"); shift 2 ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' tests/tidy.sh; exit 0 ;;
    *) wanted+=("$1"); shift ;;
  esac
done
if [ ${#builds[@]} = 0 ]; then
  for build in build/release-tests build/fuzz; do [ ! -f "$build/compile_commands.json" ] || builds+=("$build"); done
fi
[ ${#builds[@]} -gt 0 ] || { echo "tidy: no build: cmake --preset release-tests && cmake --build --preset release-tests" >&2; exit 2; }
command -v clang-tidy-16 >/dev/null || { echo "tidy: clang-tidy-16 is not installed" >&2; exit 2; }

exec python3 tests/support/python/tidy.py "${LANYARD_TIDY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/lanyard-tidy}" \
  "$(IFS=:; echo "${builds[*]}")" "${wanted[@]+"${wanted[@]}"}"
