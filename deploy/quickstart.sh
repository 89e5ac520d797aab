#!/bin/bash
# From a clone to two programs that know each other: builds Lanyard, starts it, and shows what it does.
#
#   deploy/quickstart.sh          leaves the agent running and prints its socket
#   deploy/quickstart.sh --once   stops it after the demonstration, for scripts
#   deploy/quickstart.sh --stop   only stops what an earlier run left running
#
# Everything it makes lies in one directory ($LANYARD_QUICKSTART_DIR; as root /var/lib/lanyard-quickstart, else
# ~/.local/state/lanyard-quickstart), except for the build in build/release and, as root, three cgroups while it runs.
# A second run stops only the agent that its own pid file names, by pid and start time.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
umask 022

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

stage=lanyard-quickstart
places=(agent tool)
. "$root/deploy/demo/stage.sh"
home=$(stage_directory LANYARD_QUICKSTART_DIR)
socket=$home/run/workload.sock
admin_socket=$home/admin/admin.sock
pid_file=$home/agent.pid
log=$home/agent.log

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
build_release

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

start_node_agent "$lanyard" "$home/lanyard.yaml" "$pid_file" "$log" "$admin_socket"
read -r agent_pid _ <"$pid_file"

step "4/8 two registered processes"
say "an AI agent, $agent_id, and a tool, $tool_id:"
say "$told_apart"
"$lanyard" registry list --admin-socket "$admin_socket" | sed 's/^/   /'

step "5/8 they fetch their identities; the agent calls the tool over mutual TLS, and again after its identity rotated"
export SPIFFE_ENDPOINT_SOCKET=unix://$socket
(in_place tool "$home/bin/lanyard-demo-tool" --peer-id "$agent_id" >"$home/tool.log" 2>&1) &
tool_pid=$!
note_pid "$home/tool.pid" "$tool_pid"
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
