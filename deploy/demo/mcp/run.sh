#!/bin/bash
# An AI agent and an MCP tool server that answer to nobody but each other: builds Lanyard, starts all of it, shows it, and
# stops all of it. Takes a minute, and some more for the build the first time.
#
#   deploy/demo/mcp/run.sh
#
#   LANYARD_BUILD=DIR        takes lanyard from there instead of building it
#   LANYARD_MCP_PYTHON=FILE  takes this Python, in which requirements.txt is installed, instead of making an environment
#
# Everything it makes lies in one directory ($LANYARD_MCP_DEMO_DIR; as root /var/lib/lanyard-mcp-demo, else
# ~/.local/state/lanyard-mcp-demo), except for the build in build/release and, as root, four cgroups while it runs.
# The exit code is 0 only when each step has gone as it says.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../../.." && pwd)
umask 022

# Two trust domains, as two companies would have: one runs agents, the other one tools. Each has a node agent of its own.
readonly agents=agents.example tools=tools.example
readonly assistant_id=spiffe://$agents/assistant orders_id=spiffe://$tools/orders
readonly ttl=10s long_call=12  # an identity lives shorter than the long call takes

[ $# = 0 ] || { sed -n '2,13s/^# \{0,1\}//p' "$0"; [ "$1" = --help ] || [ "$1" = -h ] || exit 2; exit 0; }

stage=lanyard-mcp-demo
places=(assistant intern orders)
. "$root/deploy/demo/stage.sh"
home=$(stage_directory LANYARD_MCP_DEMO_DIR)
[ "${#home}" -le 80 ] || die "$home is too long for the path of a Unix socket in it; set LANYARD_MCP_DEMO_DIR to a shorter one"

finish() {
  local code=$? name
  trap - EXIT
  for name in assistant orders $agents $tools; do stop_by_file "$home/$name.pid"; done
  remove_cgroups
  [ "$code" = 0 ] || echo "it did not go as it should; the logs of the node agents: $home/*/agent.log" >&2
  exit "$code"
}

# --- node agents and what they know ----------------------------------------------------------------------------------

# start_trust_domain NAME OTHER ENTRY…: a node agent for trust domain NAME that has a bundle document of OTHER on disk.
start_trust_domain() {
  local name=$1 other=$2 dir=$home/$1
  shift 2
  mkdir -p "$dir/registry.d"
  put "$dir/$other.json" '{"keys": []}'  # nobody there is believed yet
  cat >"$dir/lanyard.yaml" <<CONFIG
trust_domain: $name
data_dir: "$dir/data"
workload_socket: {path: "$dir/run/workload.sock"}
admin_socket: {path: "$dir/admin/admin.sock"}
svid: {x509_ttl: $ttl}
registry: {paths: ["$dir/registry.d"]}
federation: {trust_domains: {$other: {bundle_path: "$dir/$other.json"}}}
endpoints: {metrics: "", health: ""}
CONFIG
  { echo "entries:"; printf '  - {%s}\n' "$@"; } >"$dir/registry.d/demo.yaml"
  "$lanyard" config check "$dir/lanyard.yaml" >/dev/null || die "the configuration made by this script was refused; see above"
  start_node_agent "$lanyard" "$dir/lanyard.yaml" "$home/$name.pid" "$dir/agent.log" "$dir/admin/admin.sock"
}

put() { printf '%s\n' "$2" >"$1.part"; mv "$1.part" "$1"; }  # in one step: a file half written would be a broken one

# What a process in place $1 is recognized by.
selectors_of() {
  if [ -n "$cgroup_root" ]; then
    printf '"unix:uid:%s", "%s"' "$demo_uid" "$(cgroup_selector "$1")"
  else
    printf '"unix:uid:%s", "unix:path:%s"' "$(id -u)" "$home/bin/$1/lanyard"
  fi
}

# run_as PLACE TRUST-DOMAIN VERB ARGUMENT…: becomes lanyard in that place. Call it where a subshell is wanted.
run_as() {
  local place=$1
  export SPIFFE_ENDPOINT_SOCKET=unix://$home/$2/run/workload.sock
  shift 2
  in_place "$place" "$home/bin/$place/lanyard" "$@"
}

# --- what the programs are asked, and what they say ------------------------------------------------------------------

ask() { printf '%s\n' "$1" >&7; }  # the agent, on its standard input

# hear SECONDS PATTERN…: shows what the programs say until there was a line for each pattern.
hear() {
  local line pattern missing deadline=$((SECONDS + $1))
  shift
  heard=
  while true; do
    missing=
    for pattern in "$@"; do grep -qE -- "$pattern" <<<"$heard" || missing=$pattern; done
    [ -n "$missing" ] || return 0
    [ "$SECONDS" -lt "$deadline" ] || die "nothing was heard like this: $missing"
    if IFS= read -r -t 1 line <&8; then
      say "$line"
      heard+=$line$'\n'
    fi
  done
}

not_asked() { ! grep -q '^tool: *asked' <<<"$heard" || die "the tool was asked something all the same"; }

# --- the demonstration -----------------------------------------------------------------------------------------------

cd "$root"
step "1/8 the programs"
if [ -z "${LANYARD_BUILD-}" ]; then
  deploy/packages.sh demo || say "going on with what is there"
  build_release lanyard
fi
mkdir -p "$home"
chmod 755 "$home"  # unprivileged programs must reach it; secrets are in the data directories, which only the node agents enter
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for name in assistant orders $agents $tools; do stop_by_file "$home/$name.pid"; done
for place in "${places[@]}" nowhere; do
  install -D -m 755 "${LANYARD_BUILD:-build/release}/lanyard" "$home/bin/$place/lanyard"
done
install -m 644 "$here"/{agent,tool,spiffe_tls}.py "$home/bin/"
lanyard=$home/bin/nowhere/lanyard
export PYTHONDONTWRITEBYTECODE=1

python=${LANYARD_MCP_PYTHON:-$home/venv/bin/python}
if [ -z "${LANYARD_MCP_PYTHON-}" ] && ! cmp -s "$here/requirements.txt" "$home/venv/requirements.txt"; then
  say "installing the MCP SDK into $home/venv"
  rm -rf "$home/venv"
  /usr/bin/python3 -m venv "$home/venv" || die "cannot make a Python environment; Debian's package is python3-venv"
  "$home/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" || die "pip failed"
  cp "$here/requirements.txt" "$home/venv/"
fi
"$python" -c 'from importlib.metadata import version as v; print("   MCP SDK", v("mcp"), "with uvicorn", v("uvicorn"), "and httpx2", v("httpx2"))'

step "2/8 two trust domains, each with a node agent and an authority of its own"
if find_cgroups; then
  worth="they all run as the unprivileged uid $demo_uid and are told apart by cgroup: only root can move a process into another one"
else
  worth="they all run as your uid $(id -u) and are told apart by the path of \`lanyard exec\`: enough against mistakes, not against this uid.
   As root, where cgroups can be made, they are told apart by cgroup instead"
fi
start_trust_domain $agents $tools \
  "spiffe_id: $assistant_id, selectors: [$(selectors_of assistant)], federates_with: [spiffe://$tools]" \
  "spiffe_id: spiffe://$agents/intern, selectors: [$(selectors_of intern)], federates_with: [spiffe://$tools]"
start_trust_domain $tools $agents \
  "spiffe_id: $orders_id, selectors: [$(selectors_of orders)], federates_with: [spiffe://$agents]"
say "the agent is $assistant_id, the tool is $orders_id, and there is another agent, spiffe://$agents/intern;"
say "$worth"

step "3/8 they are introduced: each node agent gets the bundle document of the other trust domain, as a file"
for pair in "assistant $agents $tools" "orders $tools $agents"; do
  read -r place name other <<<"$pair"
  document=$(run_as "$place" "$name" fetch bundle --trust-domain "$name" --output json |
    "$python" -c 'import json, sys; [document] = json.load(sys.stdin).values(); print(json.dumps(document))')
  put "$home/$other/$name.json" "$document"
  say "$home/$other/$name.json"
done

step "4/8 the agent calls the tool"
rm -f "$home/questions" "$home/said"
mkfifo "$home/questions" "$home/said"
exec 7<>"$home/questions" 8<>"$home/said"
(run_as orders $tools exec -- "$python" "$home/bin/tool.py" --agent-id $assistant_id) >&8 2>&1 </dev/null &
note_pid "$home/orders.pid" $!
hear 30 '^tool:  listening on '
url=$(sed -n 's/^tool:  listening on //p' <<<"$heard")
(run_as assistant $agents exec -- "$python" "$home/bin/agent.py" --tool-url "$url" --tool-id $orders_id) >&8 2>&1 <&7 &
assistant_pid=$!
note_pid "$home/assistant.pid" $assistant_pid
ask "where is order 4711?"
hear 30 "^agent: the peer proved to be $orders_id" "^tool:  the peer proved to be $assistant_id" '^agent: answer: "order 4711 is on its way"'

step "5/8 a call that takes longer than the identities live that it began with ($ttl); then one with the new identity"
ask "count the stock for $long_call seconds"
hear 60 '^agent: meanwhile my identity rotated' "^agent: answer: \"${long_call}00 pieces are in stock\""
ask "where is order 4712?"
hear 30 '^agent: answer: "order 4712 is on its way"'

step "6/8 whoever is not the agent is refused"
say "the same program, in the place of the intern, with an identity of the same trust domain:"
(run_as intern $agents exec -- "$python" "$home/bin/agent.py" --tool-url "$url" --tool-id $orders_id) >&8 2>&1 <<<"where is order 4711?" || true
hear 30 "^tool:  refused a connection: the peer proved to be spiffe://$agents/intern" '^agent: no answer'
not_asked
say "the same program, in a place that is not registered:"
code=0
(run_as nowhere $agents exec -- "$python" "$home/bin/agent.py" --tool-url "$url" --tool-id $orders_id) >&8 2>&1 <<<"where is order 4711?" || code=$?
hear 30 'no identity issued'
[ "$code" = 4 ] || die "it should have been refused with exit code 4, but ended with $code"
say "it is not even started. Somebody without a certificate, who does not care who answers:"
"$python" - "$url" >&8 <<'PROGRAM'
import ssl, sys, urllib.request
try:
    print('stranger: was answered', urllib.request.urlopen(sys.argv[1], context=ssl._create_unverified_context()).status)
except OSError as error:
    print('stranger: no answer:', error)
PROGRAM
hear 30 '^tool:  refused a connection: .*peer did not return a certificate' '^stranger: no answer'
not_asked

step "7/8 the agents' side takes the root of $tools out of its bundle document: the next call does not go out"
document=$(cat "$home/$agents/$tools.json")
put "$home/$agents/$tools.json" "$("$python" -c '
import json, sys
document = json.load(sys.stdin)
document["keys"] = [key for key in document["keys"] if key["use"] != "x509-svid"]
print(json.dumps(document))' <<<"$document")"
agent_pid=$(cat "/proc/$assistant_pid/task/$assistant_pid/children")
roots=$(tr '\0' '\n' <"/proc/${agent_pid% }/environ" | sed -n 's/^LANYARD_SVID_DIR=//p')/$tools.spiffe-trust-bundle.pem
for _ in $(seq 100); do [ ! -e "$roots" ] || sleep 0.1; done  # what an agent's files say follows in a moment
ask "where is order 4713?"
hear 30 "^agent: no answer: nobody of $tools is believed"
not_asked

step "8/8 the root is put back"
put "$home/$agents/$tools.json" "$document"
for _ in $(seq 100); do [ -e "$roots" ] || sleep 0.1; done
ask "where is order 4713?"
hear 30 '^agent: answer: "order 4713 is on its way"'

printf '\n'
say "done; everything is stopped now. What ran is in $home/bin, and $here/README.md says what each step has shown."
