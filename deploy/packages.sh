#!/bin/bash
# The Debian 12 packages that Lanyard needs, in one place, and how they get onto the machine.
#
#   deploy/packages.sh run            the libraries that the built programs run with, and nothing else
#   deploy/packages.sh build          what the product is built with
#   deploy/packages.sh image          that, and what deploy/image.sh runs with
#   deploy/packages.sh demo           what the product is built with, and what deploy/demo/mcp runs with
#   deploy/packages.sh test           that, and what the tests run with
#   deploy/packages.sh fuzz           that, and what the fuzz targets and clang-tidy are run with
#   deploy/packages.sh full           that, and the real runtimes that tests/runtimes and tests/kubernetes start: Docker, podman,
#                                 containerd, systemd, and what a Kubernetes node needs beside Kubernetes
#   deploy/packages.sh list run|build|image|demo|test|fuzz|full   only prints the names
#
# As root, installs what is missing with apt-get. Without root, names exactly what is missing and ends with 1; where
# nothing is missing it says nothing and ends with 0.
set -euo pipefail

run_packages=(
  libgrpc++1.51 libprotobuf32 libsystemd0 libuv1 libssl3 libspdlog1.10 libfmt9 libyaml-cpp0.7 libabsl20220623
  libsqlite3-0 libcpp-httplib0.11 libprometheus-cpp-core1.0 libcurl4 libsimdjson14
)
build_packages=(
  build-essential cmake ninja-build pkg-config ca-certificates
  libgrpc++-dev protobuf-compiler-grpc libprotobuf-dev protobuf-compiler
  libsystemd-dev libuv1-dev libssl-dev libspdlog-dev libfmt-dev libyaml-cpp-dev libcli11-dev nlohmann-json3-dev libabsl-dev
  libsqlite3-dev libcpp-httplib-dev prometheus-cpp-dev libcurl4-openssl-dev libcurl4 libsimdjson-dev
)
image_packages=(mmdebstrap uidmap)
demo_packages=(python3 python3-venv)
test_packages=(
  dbus-daemon git curl libgtest-dev libgmock-dev "${demo_packages[@]}" python3-pip openssl util-linux ccache clang-format-16 libfaketime sqlite3
)

fuzz_packages=(clang-16 clang-tidy-16 libclang-rt-16-dev)
runtime_packages=(docker.io containerd podman busybox-static systemd-container "${image_packages[@]}"
  containernetworking-plugins etcd-server iproute2 nftables)

# Names in the order of the lists, without those that dpkg has installed.
missing_packages() {
  local installed name
  installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p' || true)
  for name in "$@"; do
    grep -qxF -- "$name" <<<"$installed" || printf '%s\n' "$name"
  done
}

# Mirrors fail for a moment now and then; a second and third try is cheaper than a broken build.
with_retries() {
  local attempt
  for attempt in 1 2 3; do
    "$@" && return 0
    [ "$attempt" = 3 ] || { echo "packages: \"$*\" failed, trying again" >&2; sleep $((attempt * 5)); }
  done
  echo "packages: \"$*\" failed three times; see the messages above" >&2
  return 1
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  with_retries apt-get -qq -o Acquire::Retries=3 update
  with_retries apt-get -qq -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@"
}

case "${1-}" in
  list) shift; action=list ;;
  *) action=install ;;
esac
case "${1-}" in
  run) wanted=("${run_packages[@]}") ;;
  build) wanted=("${build_packages[@]}") ;;
  image) wanted=("${build_packages[@]}" "${image_packages[@]}") ;;
  demo) wanted=("${build_packages[@]}" "${demo_packages[@]}") ;;
  test) wanted=("${build_packages[@]}" "${test_packages[@]}") ;;
  fuzz) wanted=("${build_packages[@]}" "${test_packages[@]}" "${fuzz_packages[@]}") ;;
  full) wanted=("${build_packages[@]}" "${test_packages[@]}" "${fuzz_packages[@]}" "${runtime_packages[@]}") ;;
  *) sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
if [ "$action" = list ]; then
  printf '%s\n' "${wanted[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  echo "packages: this is not a Debian system; what is needed there: ${wanted[*]}" >&2
  exit 1
fi
mapfile -t missing < <(missing_packages "${wanted[@]}")
[ "${#missing[@]}" -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "packages: missing: ${missing[*]}" >&2
  echo "packages: install them with: sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "packages: installing ${missing[*]}"
install_packages "${missing[@]}" >&2
mapfile -t missing < <(missing_packages "${wanted[@]}")
if [ "${#missing[@]}" -gt 0 ]; then
  echo "packages: still missing after installation: ${missing[*]}" >&2
  exit 1
fi
