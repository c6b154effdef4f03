#!/usr/bin/env bash
# Installs what the build and the tests need, and says what it does. The second run finds everything and does nothing.
#
#   tools/setup.sh build   what `make run` and `make build` need (default)
#   tools/setup.sh test    and what `make test` needs
#   tools/setup.sh check   and what `make check`, `make lint` and `make fuzz` need
#   tools/setup.sh bench   build, and what `make bench` needs to set up other engines
set -euo pipefail

level=${1:-build}
build_packages=(clang-19 lld-19 cmake ninja-build ccache pkg-config python3 python3-pip curl ca-certificates
  nlohmann-json3-dev libsimdjson-dev libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev
  libpcre2-dev libutf8proc-dev libxxhash-dev libssl-dev libedit-dev libsqlite3-dev libboost1.81-dev prometheus-cpp-dev)
test_packages=(git libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev clang-format-19 clang-tidy-19 debootstrap patchelf
  locales-all qemu-user g++-12-aarch64-linux-gnu python3-jsonschema)
bench_packages=(python3-venv python3-numpy g++)
check_packages=(systemd libclang-rt-19-dev llvm-19 g++ g++-12 python3-venv chromium fonts-noto-cjk)

packages=("${build_packages[@]}")
case "$level" in
  build) ;;
  bench) packages+=("${bench_packages[@]}") ;;
  test) packages+=("${test_packages[@]}") ;;
  check) packages+=("${test_packages[@]}" "${check_packages[@]}") ;;
  *) echo "usage: tools/setup.sh [build|test|bench|check]" >&2; exit 2 ;;
esac

# The cross compiler and the ISA tests exist for x86-64 hosts only.
if [ "$(uname -m)" != x86_64 ]; then
  packages=("${packages[@]/g++-12-aarch64-linux-gnu}")
fi

if ! command -v apt-get >/dev/null; then
  missing=()
  for program in clang++-19 cmake ninja pkg-config python3 curl; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
  if [ ${#missing[@]} -eq 0 ]; then exit 0; fi
  echo "setup: this machine has no apt-get, so please install these yourself: ${missing[*]}" >&2
  echo "setup: and the development files of (Debian's names): ${packages[*]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  [ -n "$package" ] || continue
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "setup: these packages are missing: ${missing[*]}" >&2
    echo "setup: run as root, or install sudo: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  sudo=(sudo)
fi
echo "setup: installing ${#missing[@]} Debian packages: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
# man-db's trigger is slow and nothing here needs it; recommended packages are not needed either.
DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
