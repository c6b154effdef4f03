#!/bin/sh
# Builds the kernel tests for AArch64 and runs them under qemu-user. Needs the Debian packages g++-12-aarch64-linux-gnu,
# qemu-user and libgtest-dev. The longest comparisons of an ISA with itself are left out unless arguments are given:
# experts and latent attention make the same ones.   usage: tools/test_neon.sh [build folder] [arguments of the test program]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
build=${1:-$root/build/neon}
[ $# -eq 0 ] || shift
for tool in aarch64-linux-gnu-g++-12 qemu-aarch64; do
  command -v $tool > /dev/null || { echo "$tool is not installed: apt-get install g++-12-aarch64-linux-gnu qemu-user" >&2; exit 1; }
done
launcher=$(command -v ccache || true)
cmake -S "$root/tests/neon" -B "$build" -G Ninja --toolchain "$root/cmake/toolchain-aarch64.cmake" \
  ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} > /dev/null
cmake --build "$build"
[ $# -gt 0 ] || set -- --gtest_filter='-CpuLinear.SameBits*:CpuAttention.SameBits*:CpuAttentionBorders.ManySplits*:CpuAttentionBorders.Blocks*'
exec qemu-aarch64 "$build/test_neon" --gtest_brief=1 "$@"
