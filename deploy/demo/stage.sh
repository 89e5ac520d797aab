# What the demonstrations share: a directory, processes that can be told apart, and a node agent that can be stopped.
#
# To be sourced by a bash script with "set -euo pipefail" that has set $root (the clone), $stage (its name: of the directory
# and of the cgroups) and $places (the names of the processes that will be told apart).

demo_uid=65533  # nobody's on Debian, and not the overflow uid 65534, which Lanyard refuses

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

is_root() { [ "$(id -u)" = 0 ]; }

# Prints where the demonstration keeps everything: the value of the variable named $1, else a directory of its name.
stage_directory() {
  local home=${!1-}
  if [ -n "$home" ]; then
    case "$home" in /*) ;; *) echo "error: $1 must be an absolute path, not \"$home\"" >&2; exit 2 ;; esac
  elif is_root; then
    home=/var/lib/$stage
  else
    home=${XDG_STATE_HOME:-${HOME:?neither $1 nor HOME is set}/.local/state}/$stage
  fi
  printf '%s\n' "$home"
}

# build_release [TARGET…]: packages and the release build, with what is said about them.
build_release() {
  local targets=()
  [ $# = 0 ] || targets=(--target "$@")
  cmake --preset release >/dev/null || die "cmake could not configure the build; the messages above say what is missing"
  if [ -t 1 ]; then
    cmake --build --preset release "${targets[@]}" || die "the build failed"
  else  # a line for every twentieth step: progress, but no flood in a log
    cmake --build --preset release "${targets[@]}" |
      awk '!/^\[[0-9]+\/[0-9]+\]/ || /^\[[0-9]*[02468]0\// { print "   " $0; fflush() }' || die "the build failed"
  fi
}

# --- processes -------------------------------------------------------------------------------------------------------

# Field 22 of /proc/PID/stat: when the process started. The command in it may hold spaces and parentheses.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  set -- $stat
  printf '%s\n' "${20}"
}

# Writes the pid file $1 of process $2: "PID START-TIME".
note_pid() { printf '%s %s\n' "$2" "$(start_time "$2")" >"$1"; }

# Whether the process of a pid file is still that one; a pid alone may be somebody else's by now.
alive() {
  local pid started
  [ -f "$1" ] && read -r pid started <"$1" && [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ]
}

stop_by_file() {
  local pid
  if alive "$1"; then
    read -r pid _ <"$1"
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
      alive "$1" || break
      sleep 0.1
    done
    if alive "$1"; then kill -KILL "$pid" 2>/dev/null || true; fi
  fi
  rm -f "$1"
}

# start_node_agent PROGRAM CONFIG PID-FILE LOG ADMIN-SOCKET: until it serves, and says so.
start_node_agent() {
  setsid "$1" agent --config "$2" </dev/null >"$4" 2>&1 &
  note_pid "$3" $!
  for _ in $(seq 200); do
    alive "$3" || die "the node agent ended at once, see $4"
    if "$1" health --admin-socket "$5" >/dev/null 2>&1; then break; fi
    sleep 0.05
  done
  "$1" health --admin-socket "$5" | sed 's/^/   /' || die "the node agent does not answer on $5"
}

# --- which process is which ------------------------------------------------------------------------------------------

cgroup_root=

# Sets cgroup_root, with a cgroup for each of $places below it; fails where that is not possible.
find_cgroups() {
  local mount place
  is_root || return 1
  while read -r mount; do
    cgroup_root=$mount/$stage
    for place in "${places[@]}"; do
      mkdir -p "$cgroup_root/$place" 2>/dev/null && ( echo "$BASHPID" >"$cgroup_root/$place/cgroup.procs" ) 2>/dev/null && continue
      remove_cgroups
      cgroup_root=
      continue 2
    done
    return 0
  done < <(findmnt -rn -t cgroup2 -o TARGET; findmnt -rn -t cgroup -O pids -o TARGET)
  return 1
}

remove_cgroups() {
  local cgroup
  [ -n "$cgroup_root" ] || return 0
  for cgroup in "${places[@]/#/$cgroup_root/}" "$cgroup_root"; do
    for _ in $(seq 50); do  # a cgroup stays busy for a moment after its last process
      rmdir "$cgroup" 2>/dev/null && break
      [ -d "$cgroup" ] || break
      sleep 0.1
    done
  done
}

# The selector for a process in cgroup $1, as the kernel writes it in /proc/PID/cgroup.
cgroup_selector() {
  local line
  line=$( (echo "$BASHPID" >"$cgroup_root/$1/cgroup.procs"; cat "/proc/$BASHPID/cgroup") | grep "/$stage/$1\$" | head -n1)
  case "$line" in
    0::*) printf 'process:cgroup:%s\n' "${line#0::}" ;;
    *) printf 'process:cgroup:pids:%s\n' "${line#*:*:}" ;;
  esac
}

# Becomes a program: in_place NAME PROGRAM ARGUMENT…  In the cgroup NAME under the unprivileged uid where that was
# possible, else as it is. NAME "nowhere" stays outside of all cgroups. Call it where a subshell is wanted.
in_place() {
  local name=$1
  shift
  if [ -n "$cgroup_root" ]; then
    [ "$name" = nowhere ] || echo "$BASHPID" >"$cgroup_root/$name/cgroup.procs"
    exec setpriv --reuid="$demo_uid" --regid="$demo_uid" --clear-groups --no-new-privs -- "$@"
  fi
  exec "$@"
}
