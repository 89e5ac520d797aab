#!/bin/bash
# The first process of a cluster's node, in new namespaces: makes the node's view of the machine, says "ready", and waits for
# orphans until it is killed, and with it everything on the node.
#
#   cluster_init.sh STATE NODE ADDRESS
#
# The node is this machine, but: /run is new, what is written to /etc, /var/lib and /var/log stays in STATE, settings of the
# kernel are for reading, but for those of its own network, and that network has no way out.
set -euo pipefail
state=$1 node=$2 address=$3

hostname "$node"
mount --make-rprivate /
for place in etc var/lib var/log; do
  layer=$state/layers/${place//\//-}
  mkdir -p "$layer/upper" "$layer/work"
  mount -t overlay -o "lowerdir=/$place,upperdir=$layer/upper,workdir=$layer/work" node "/$place"
done
# On the file system of STATE itself: containers' file systems are overlays, and an overlay cannot lie on another.
for place in containerd etcd kubelet; do
  mkdir -p "$state/data/$place" "/var/lib/$place"
  mount --bind "$state/data/$place" "/var/lib/$place"
done
mount -t tmpfs -o mode=755,nosuid,nodev node /run
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount -o remount,bind,rw /proc/sys/net
# The kubelet insists on these, and sets none that it finds to be so.
for setting in kernel/panic=10 kernel/panic_on_oops=1 kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000 \
  vm/overcommit_memory=1 vm/panic_on_oom=0; do
  shown=/run/sysctl/${setting%=*}
  mkdir -p "${shown%/*}"
  echo "${setting#*=}" >"$shown"
  mount --bind "$shown" "/proc/sys/${setting%=*}"
done
mount --make-rshared /

rm -f /etc/hosts /etc/resolv.conf
printf '127.0.0.1 localhost\n%s %s\n' "$address" "$node" >/etc/hosts
: >/etc/resolv.conf

# A bridge without ports stands for the network card: packets to elsewhere end there.
ip link set lo up
ip link add node type bridge
ip address add "$address/24" dev node
ip link set node up
ip route add default dev node
echo 1 >/proc/sys/net/ipv4/ip_forward

echo ready
exec >/dev/null
while :; do sleep 3600; done
