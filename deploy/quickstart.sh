#!/bin/bash
# From a clone to two programs that know each other: builds Lanyard, starts it, and shows what it does.
#
#   deploy/quickstart.sh          leaves the agent running and prints its socket
#   deploy/quickstart.sh --once   stops it after the demonstration, for scripts
#   deploy/quickstart.sh --stop   only stops what an earlier run left running
#
# Everything it makes lies in one directory ($LANYARD_QUICKSTART_DIR; as root /var/lib/lanyard-quickstart, else
# ~/.local/state/lanyard-quickstart), except for the build in build/release and, as root, two cgroups. A second run
# stops only the agent that its own pid file names, by pid and start time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
umask 022

readonly demo_uid=65533  # nobody's on Debian, and not the overflow uid 65534, which Lanyard refuses
readonly trust_domain=example.org
readonly agent_id=spiffe://$trust_domain/demo/agent tool_id=spiffe://$trust_domain/demo/tool
readonly ttl=20s

mode=run
case "${1-}" in
  "") ;;
  --once) mode=once ;;
  --stop) mode=stop ;;
  *) sed -n '2,10s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] || [ "$1" = -h ] || exit 2; exit 0 ;;
esac

is_root() { [ "$(id -u)" = 0 ]; }
if [ -n "${LANYARD_QUICKSTART_DIR-}" ]; then
  home=$LANYARD_QUICKSTART_DIR
elif is_root; then
  home=/var/lib/lanyard-quickstart
else
  home=${XDG_STATE_HOME:-${HOME:?neither LANYARD_QUICKSTART_DIR nor HOME is set}/.local/state}/lanyard-quickstart
fi
case "$home" in /*) ;; *) echo "error: LANYARD_QUICKSTART_DIR must be an absolute path, not \"$home\"" >&2; exit 2 ;; esac

socket=$home/run/workload.sock
admin_socket=$home/admin/admin.sock
pid_file=$home/agent.pid
log=$home/agent.log

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n== %s\n' "$*"; }
say() { printf '   %s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Field 22 of /proc/PID/stat: when the process started. The command in it may hold spaces and parentheses.
start_time() {
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  set -- $stat
  printf '%s\n' "${20}"
}

# Whether the process of a pid file "PID START-TIME" is still that one; a pid alone may be somebody else's by now.
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

# --- which two processes are which -----------------------------------------------------------------------------------

cgroup_root=
find_cgroups() {
  local mount
  is_root || return 1
  while read -r mount; do
    if mkdir -p "$mount/lanyard-quickstart/agent" "$mount/lanyard-quickstart/tool" 2>/dev/null &&
      ( echo "$BASHPID" >"$mount/lanyard-quickstart/agent/cgroup.procs" ) 2>/dev/null; then
      cgroup_root=$mount/lanyard-quickstart
      return 0
    fi
  done < <(findmnt -rn -t cgroup2 -o TARGET; findmnt -rn -t cgroup -O pids -o TARGET)
  return 1
}

remove_cgroups() {
  local cgroup
  [ -n "$cgroup_root" ] || return 0
  for cgroup in "$cgroup_root/agent" "$cgroup_root/tool" "$cgroup_root"; do
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
  line=$( (echo "$BASHPID" >"$cgroup_root/$1/cgroup.procs"; cat "/proc/$BASHPID/cgroup") | grep "/lanyard-quickstart/$1\$" | head -n1)
  case "$line" in
    0::*) printf 'process:cgroup:%s\n' "${line#0::}" ;;
    *) printf 'process:cgroup:pids:%s\n' "${line#*:*:}" ;;
  esac
}

# Becomes a demo program: in_place NAME PROGRAM ARGUMENT…  In its cgroup under the unprivileged uid where that was
# possible, else as it is. NAME "nowhere" stays outside of both cgroups. Call it where a subshell is wanted.
in_place() {
  local name=$1
  shift
  if [ -n "$cgroup_root" ]; then
    [ "$name" = nowhere ] || echo "$BASHPID" >"$cgroup_root/$name/cgroup.procs"
    exec setpriv --reuid="$demo_uid" --regid="$demo_uid" --clear-groups --no-new-privs -- "$@"
  fi
  exec "$@"
}

# --- what is left behind, and what is not ----------------------------------------------------------------------------

finish() {
  local code=$?
  trap - EXIT
  stop_by_file "$home/tool.pid"
  if [ "$code" != 0 ] || [ "$mode" = once ]; then
    if [ "$code" != 0 ] && [ -s "$log" ]; then
      printf '\nlast lines of %s:\n' "$log" >&2
      tail -n 15 "$log" >&2
    fi
    stop_by_file "$pid_file"
  fi
  remove_cgroups
  exit "$code"
}

if [ "$mode" = stop ]; then
  alive "$pid_file" || { echo "no agent of this quickstart is running"; exit 0; }
  read -r pid _ <"$pid_file"
  stop_by_file "$pid_file"
  echo "stopped the agent (pid $pid)"
  exit 0
fi

cd "$root"
step "1/8 packages"
if deploy/packages.sh build; then
  say "all there"
else
  say "going on with what is there"
fi

step "2/8 build (the release preset; minutes the first time, moments the second)"
cmake --preset release >/dev/null || die "cmake could not configure the build; the messages above say what is missing"
if [ -t 1 ]; then
  cmake --build --preset release || die "the build failed"
else  # a line for every twentieth step: progress, but no flood in a log
  cmake --build --preset release | awk '!/^\[[0-9]+\/[0-9]+\]/ || /^\[[0-9]*[02468]0\// { print "   " $0; fflush() }' || die "the build failed"
fi

step "3/8 start the node agent with its own CA"
mkdir -p "$home"
chmod 755 "$home"  # unprivileged workloads must reach the socket; secrets are in data/, which only the agent enters
if [ "${#socket}" -gt 107 ]; then die "$socket is longer than the 107 bytes that a Unix socket's path may have; set LANYARD_QUICKSTART_DIR to a shorter path"; fi
if alive "$pid_file"; then say "stopping the agent of the run before"; fi
stop_by_file "$pid_file"
stop_by_file "$home/tool.pid"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$home/bin" "$home/registry.d" "$home/run"
for program in lanyard deploy/demo/mtls/lanyard-demo-agent deploy/demo/mtls/lanyard-demo-tool; do
  install -m 755 "build/release/$program" "$home/bin/"  # where every user can execute it, whoever may enter the clone
done
lanyard=$home/bin/lanyard

cat >"$home/lanyard.yaml" <<CONFIG
trust_domain: $trust_domain
data_dir: "$home/data"
workload_socket: {path: "$socket"}
admin_socket: {path: "$admin_socket"}
svid: {x509_ttl: $ttl}
registry: {paths: ["$home/registry.d"]}
audit: {checkpoint_interval: 5s}
endpoints: {metrics: "127.0.0.1:0", health: "127.0.0.1:0"}  # any free port, so that nothing else is in the way
CONFIG

if find_cgroups; then
  agent_selectors="\"unix:uid:$demo_uid\", \"$(cgroup_selector agent)\""
  tool_selectors="\"unix:uid:$demo_uid\", \"$(cgroup_selector tool)\""
  told_apart="both run as the same unprivileged uid $demo_uid and are told apart by their cgroup.
   Worth: only root can move a process into another cgroup, so neither can become the other."
else
  agent_selectors="\"unix:uid:$(id -u)\", \"unix:sha256:$(sha256sum "$home/bin/lanyard-demo-agent" | cut -d' ' -f1)\""
  tool_selectors="\"unix:uid:$(id -u)\", \"unix:sha256:$(sha256sum "$home/bin/lanyard-demo-tool" | cut -d' ' -f1)\""
  told_apart="both run as your uid $(id -u) and are told apart by the hash of their executable.
   Worth: enough against mistakes. Whoever is this uid can run the same executable, or steer it with a debugger;
   as root, where cgroups can be made, this quickstart tells them apart by cgroup instead."
fi
cat >"$home/registry.d/demo.yaml.part" <<REGISTRY
entries:
  - spiffe_id: $agent_id
    selectors: [$agent_selectors]
  - spiffe_id: $tool_id
    selectors: [$tool_selectors]
REGISTRY
mv "$home/registry.d/demo.yaml.part" "$home/registry.d/demo.yaml"
"$lanyard" config check "$home/lanyard.yaml" >/dev/null || die "the configuration made by this script was refused; see above"

setsid "$lanyard" agent --config "$home/lanyard.yaml" </dev/null >"$log" 2>&1 &
agent_pid=$!
printf '%s %s\n' "$agent_pid" "$(start_time "$agent_pid")" >"$pid_file"
for _ in $(seq 200); do
  alive "$pid_file" || die "the agent ended at once"
  if "$lanyard" health --admin-socket "$admin_socket" >/dev/null 2>&1; then break; fi
  sleep 0.05
done
"$lanyard" health --admin-socket "$admin_socket" | sed 's/^/   /' || die "the agent does not answer on $admin_socket"

step "4/8 two registered processes"
say "an AI agent, $agent_id, and a tool, $tool_id:"
say "$told_apart"
"$lanyard" registry list --admin-socket "$admin_socket" | sed 's/^/   /'

step "5/8 they fetch their identities; the agent calls the tool over mutual TLS, and again after its identity rotated"
export SPIFFE_ENDPOINT_SOCKET=unix://$socket
(in_place tool "$home/bin/lanyard-demo-tool" --peer-id "$agent_id" >"$home/tool.log" 2>&1) &
tool_pid=$!
printf '%s %s\n' "$tool_pid" "$(start_time "$tool_pid")" >"$home/tool.pid"
address=
for _ in $(seq 200); do
  address=$(sed -n 's/^tool: *listening on //p' "$home/tool.log")
  [ -z "$address" ] || break
  alive "$home/tool.pid" || break
  sleep 0.05
done
[ -n "$address" ] || { cat "$home/tool.log" >&2; die "the tool did not start"; }
tail -n +1 -f --pid="$tool_pid" "$home/tool.log" | sed -u 's/^/   /' &
tail_pid=$!
(in_place agent "$home/bin/lanyard-demo-agent" --connect "$address" --peer-id "$tool_id" --rotations 1) 2>&1 | sed -u 's/^/   /' ||
  die "the call failed"

stop_by_file "$home/tool.pid"
wait "$tail_pid" || true
step "6/8 a process that is not registered"
code=0
if [ -n "$cgroup_root" ]; then
  say "the same agent program under the same uid, but outside of its cgroup:"
  (in_place nowhere "$home/bin/lanyard-demo-agent") >"$home/refused.log" 2>&1 || code=$?
else
  say "another program under the same uid:"
  "$lanyard" fetch x509 >"$home/refused.log" 2>&1 || code=$?
fi
sed 's/^/   /' "$home/refused.log"
[ "$code" = 4 ] || die "it should have been refused with exit code 4, but ended with $code"
say "refused, as it should be"

step "7/8 what is on record about all that"
"$lanyard" audit tail --admin-socket "$admin_socket" -n 200 --output json |
  grep -E '"kind":"(issue|fetch)"' >"$home/record.log" || die "nothing is on record"
say "issued $(grep -c '"kind":"issue"' "$home/record.log"), handed out $(grep -c '"decision":"allow","caller"' "$home/record.log"), denied $(grep -c '"decision":"deny"' "$home/record.log"); the denial:"
grep -m1 '"decision":"deny"' "$home/record.log" | cut -c1-200 | sed 's/^/   /; s/$/…/' || die "the denial is not on record"
"$lanyard" audit verify --config "$home/lanyard.yaml" | head -n1 | sed 's/^/   /' || die "the record is not intact"

step "8/8 done"
if [ "$mode" = once ]; then
  say "stopping the agent (--once)"
else
  say "the agent goes on running (pid $agent_pid, log $log)"
  say "its socket:    SPIFFE_ENDPOINT_SOCKET=unix://$socket"
  say "its health:    $lanyard health --admin-socket $admin_socket"
  say "its metrics:   $(sed -n 's/.*metrics on \([0-9.:]*\).*/curl http:\/\/\1\/metrics/p' "$log" | tail -n1)"
  say "register more: $home/registry.d/*.yaml, read as soon as they change"
  say "stop it:       deploy/quickstart.sh --stop"
fi
