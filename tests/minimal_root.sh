#!/bin/bash
# Tries the README's two commands on a Debian 12 that has never seen this project.
#
#   tests/minimal_root.sh [COMMAND…]     the default commands: deploy/quickstart.sh --once, then tests/run.sh
#
# Makes a minimal root file system with mmdebstrap, clones the repository into it (committed files only), and runs the
# commands there in mount and pid namespaces of its own: what is started inside ends with it. Needs root, and the network
# for the package managers. The root is removed at the end; KEEP=1 keeps it and prints where it is.
set -euo pipefail
source=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ "$(id -u)" != 0 ]; then
  echo "minimal_root: needs root, for namespaces" >&2
  exit 1
fi
if ! command -v mmdebstrap >/dev/null; then
  apt-get -qq update && apt-get -qq install -y --no-install-recommends mmdebstrap >&2
fi
commands=("$@")
[ "${#commands[@]}" -gt 0 ] || commands=("deploy/quickstart.sh --once" "tests/run.sh")

directory=$(mktemp -d "${TMPDIR:-/var/tmp}/lanyard-root.XXXXXX")
chmod 755 "$directory"
cleanup() {
  if [ "${KEEP-}" = 1 ]; then
    echo "minimal_root: kept $directory"
  else
    rm -rf --one-file-system -- "$directory"
  fi
}
trap cleanup EXIT

echo "minimal_root: making a Debian 12 in $directory"
# git is what the README asks for; ca-certificates lets git and the package managers trust anything at all; every
# installed Debian has mount.
mmdebstrap --quiet --variant=apt --include=git,ca-certificates,mount bookworm "$directory/root"
git -c safe.directory='*' clone --quiet --no-hardlinks -- "$source" "$directory/root/root/lanyard"

# What this machine needs to reach the network, if anything: proxies, mirrors, certificates.
cp /etc/resolv.conf "$directory/root/etc/resolv.conf" 2>/dev/null || true
cp -r /etc/apt/apt.conf.d/. "$directory/root/etc/apt/apt.conf.d/" 2>/dev/null || true
cp -r /usr/local/share/ca-certificates/. "$directory/root/usr/local/share/ca-certificates/" 2>/dev/null || true
if [ -f /etc/pip.conf ]; then cp /etc/pip.conf "$directory/root/etc/pip.conf"; fi
environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
while IFS= read -r line; do environment+=("$line"); done < <(env | grep -iE '^(https?_proxy|no_proxy|all_proxy|goproxy|gosumdb|gonosumdb|pip_[a-z_]+)=' || true)

cat >"$directory/root/root/inside.sh" <<'INSIDE'
#!/bin/bash
# Runs as the first process of the pid namespace.
set -euo pipefail
update-ca-certificates >/dev/null 2>&1 || true
cd /root/lanyard
for command in "$@"; do
  SECONDS=0
  printf '\n######## %s\n' "$command"
  bash -c "$command"
  printf '######## done in %s s: %s\n' "$SECONDS" "$command"
done
INSIDE
chmod +x "$directory/root/root/inside.sh"

# /sys brings the cgroup hierarchies in, as on a real machine; /dev null, urandom and pseudo-terminals. Not chroot: in one
# the kernel refuses user namespaces, and /proc shows paths that are not those inside.
unshare --mount --pid --fork --kill-child -- bash -c '
  set -e
  mount --make-rprivate /
  mount --bind "$1" "$1"
  mount --rbind /sys "$1/sys"
  mount --rbind /dev "$1/dev"
  mount -t proc proc "$1/proc"
  cd "$1"; shift
  mkdir -p old-root
  pivot_root . old-root
  cd /
  umount -l /old-root
  exec /usr/bin/env -i "$@"
' inner "$directory/root" "${environment[@]}" /root/inside.sh "${commands[@]}"
