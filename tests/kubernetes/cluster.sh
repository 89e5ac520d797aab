#!/bin/bash
# A real Kubernetes of one node, named node1, on this machine: nothing is pulled, and nothing of the machine's own network, /run,
# /etc, /var/lib and /var/log is touched. Needs root.
#
#   tests/kubernetes/cluster.sh build                      installs and builds what it needs; minutes, once
#   tests/kubernetes/cluster.sh --state DIR up             starts it, or what of it does not run, and waits until node1 is ready
#   tests/kubernetes/cluster.sh --state DIR --read-only-port 10255 up
#   tests/kubernetes/cluster.sh --state DIR kubectl …      as administrator; runs on the node, whose files it sees
#   tests/kubernetes/cluster.sh --state DIR run COMMAND…   a command on the node, such as ctr, nft or curl
#   tests/kubernetes/cluster.sh --state DIR image NAME DIRECTORY|LAYER.tar…   makes an image out of file trees, and imports it
#   tests/kubernetes/cluster.sh --state DIR load ARCHIVE…  imports images as `docker save` or an OCI tool wrote them
#   tests/kubernetes/cluster.sh --state DIR off            ends everything on the node at once, as a loss of power; `up` again
#   tests/kubernetes/cluster.sh --state DIR down           the same, and removes the state directory
#
# DIR is a directory of this cluster alone, not below /run, /etc, /var/lib or /var/log. Pods use images with imagePullPolicy Never;
# lanyard.test/busybox:1 is there. Tests have the same as a class: tests/support/python/cluster.py.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

case "${1-}" in
  build)
    "$here/../../deploy/packages.sh" full
    exec "$here/../peers.sh" kubernetes
    ;;
  --state) ;;
  *) sed -n '2,18s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
LANYARD_PEERS=$("$here/../peers.sh" where)
export LANYARD_PEERS
exec /usr/bin/python3 -B "$here/../support/python/cluster.py" "$@"
