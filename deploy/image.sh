#!/bin/bash
# Makes a container image without pulling one: a Debian 12 root of nothing but the libraries that the programs load, the
# programs, one layer. `docker load`, `podman load` and `ctr -n k8s.io images import` take it; no daemon is needed.
#
#   deploy/image.sh [--sample] [--tag NAME:TAG] [--out FILE.tar] [--programs DIRECTORY]
#
#   --sample     the programs of deploy/kubernetes/sample and `lanyard`, for workloads, in place of the node agent
#   --tag        the image's name; default lanyard:dev, with --sample lanyard-sample:dev
#   --out        where the image goes; default build/NAME.tar
#   --programs   where `lanyard` (and the demo's programs) were built; default build/release
#
# Needs what `deploy/packages.sh image` installs, and a Debian mirror. As root, or as a user who may make user
# namespaces and has a range in /etc/subuid and /etc/subgid. There is no shell in the image, no package manager and nothing
# that is setuid. Of one commit, with one state of Debian's mirror, it has the same bytes each time; SOURCE_DATE_EPOCH sets
# its date, else the last commit does.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() { printf 'image: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,16s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; }

sample='' tag='' out='' built=$root/build/release
while [ $# -gt 0 ]; do
  case $1 in
    --sample) sample=yes; shift; continue ;;
    --help | -h) usage; exit 0 ;;
    --tag | --out | --programs) [ $# -ge 2 ] || { usage >&2; exit 2; } ;;
    *) usage >&2; exit 2 ;;
  esac
  case $1 in
    --tag) tag=$2 ;;
    --out) out=$2 ;;
    --programs) built=$2 ;;
  esac
  shift 2
done
if [ "$sample" ]; then
  programs=("$built/lanyard" "$built/deploy/demo/mtls/lanyard-demo-agent" "$built/deploy/demo/mtls/lanyard-demo-tool")
  mode=755
  # As nobody in particular: what it is, its pod says.
  config='"User":"65532:65532"'
else
  programs=("$built/lanyard")
  # Of a program that may be run and not read the kernel lets nobody look into the processes, from their first instruction on.
  # Else root in a pod with hostPID would find the issuer's key and the admin socket in /proc/PID/root of every `lanyard health`.
  mode=111
  config='"Entrypoint":["/usr/bin/lanyard"],"Cmd":["agent","--config","/etc/lanyard/lanyard.yaml"]'
fi
tag=${tag:-lanyard${sample:+-sample}:dev}
[[ $tag =~ ^[a-z0-9][a-z0-9./:_-]*:[A-Za-z0-9._-]+$ ]] || die "--tag \"$tag\": write it like lanyard:dev"
name=${tag##*/}
out=${out:-$root/build/${name%:*}.tar}
for program in "${programs[@]}"; do
  [ -x "$program" ] || die "$program is not there; build it: cmake --workflow --preset release"
done
command -v mmdebstrap >/dev/null || die "mmdebstrap is not here; run deploy/packages.sh image"

SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -c safe.directory='*' -C "$root" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH
architecture=$(dpkg --print-architecture)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/lanyard-image.XXXXXX")
trap 'rm -rf --one-file-system -- "$work"' EXIT
echo "$mode" >"$work/mode"
chmod 755 "$work"  # the hook may run as another user
mkdir "$work/programs" "$work/image"
for program in "${programs[@]}"; do
  install -m 755 "$program" "$work/programs/"
  strip --strip-debug "$work/programs/${program##*/}"
done
LC_ALL=C readelf --wide --program-headers "$work/programs/lanyard" | sed -n 's/.*program interpreter: \(.*\)]/\1/p' >"$work/loader"

# What Debian's packages are unpacked to becomes the image. Scanners find out in status.d what is installed, since no
# package was ever configured. Of the libraries those stay that the loader takes for a program, or for libcurl, which is
# loaded when an attestor asks over HTTP.
cat >"$work/hook" <<'HOOK'
#!/bin/sh
set -eu
here=${0%/*}
cd "$1"
mkdir -p var/lib/dpkg/status.d usr/bin run proc sys dev
for package in var/cache/apt/archives/*.deb; do
  dpkg-deb --field "$package" >"var/lib/dpkg/status.d/$(dpkg-deb --field "$package" Package)"
done
cp "$here"/programs/* usr/bin/
loader=$(cat "$here/loader")
for object in usr/bin/lanyard* usr/lib/*/libcurl.so.4; do
  echo "/$object"
  if ! chroot . "$loader" --list "/$object" >"$here/list"; then
    echo "image: ${object##*/} needs this library; add its package to run_packages in deploy/packages.sh" >&2
    exit 1
  fi
  sed -n 's|^.*[[:space:]]\(/[^ ]*\) (0x.*|\1|p' "$here/list"
done >"$here/names"
while read -r name; do
  name=${name#/}
  echo "$name"
  target=$(readlink "$name") || continue
  case $target in
    /*) echo "${target#/}" ;;
    *) echo "${name%/*}/$target" ;;
  esac
done <"$here/names" >"$here/kept"
chmod "$(cat "$here/mode")" usr/bin/lanyard*
find lib usr/lib ! -type d | grep -vxFf "$here/kept" | xargs rm -f
find lib usr/lib -depth -type d -empty -delete
find etc var -mindepth 1 ! -path 'var/lib' ! -path 'var/lib/dpkg' ! -path 'var/lib/dpkg/status.d*' -delete
printf 'root:x:0:0:root:/:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n' >etc/passwd
printf 'root:x:0:\nnogroup:x:65534:\n' >etc/group
HOOK
chmod 755 "$work/hook"
packages=$("$root/deploy/packages.sh" list run | paste -sd,)
mmdebstrap --quiet --variant=extract --format=tar --skip=cleanup/apt,cleanup/mmdebstrap,output/dev,output/mknod --include="$packages" \
  --dpkgopt='path-exclude=/usr/share/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --extract-hook="$work/hook" bookworm "$work/layer.tar"

# The format of `docker save`: the layer, the configuration, and a manifest that names both.
layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
mkdir "$work/image/$layer"
mv "$work/layer.tar" "$work/image/$layer/layer.tar"
created=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
printf '{"architecture":"%s","os":"linux","created":"%s","config":{%s,"Env":["PATH=/usr/bin"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"deploy/image.sh"}]}' \
  "$architecture" "$created" "$config" "$layer" "$created" >"$work/config.json"
digest=$(sha256sum "$work/config.json" | cut -d' ' -f1)
mv "$work/config.json" "$work/image/$digest.json"
printf '[{"Config":"%s.json","RepoTags":["%s"],"Layers":["%s/layer.tar"]}]' "$digest" "$tag" "$layer" >"$work/image/manifest.json"
mkdir -p "$(dirname "$out")"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw -C "$work/image" -cf "$out.new" .
mv "$out.new" "$out"
echo "image: $tag, $(($(stat -c %s "$out") / 1024 / 1024)) MiB, sha256:$digest, in $out"
