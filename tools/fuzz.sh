#!/usr/bin/env bash
# Runs every fuzz target for SECONDS (default 60) under ASan and UBSan, two at a time, starting from its corpus.
#   tools/fuzz.sh [SECONDS] [NAME...]      a finding is left in build/fuzz/NAME and ends with exit code 1
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
tools/setup.sh check
cmake --preset asan >/dev/null
cmake --build --preset asan -j "$(tools/jobs.sh)" --target fuzzers
names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd fuzz && ls ./*_fuzz.cpp | sed 's|^\./||; s|_fuzz\.cpp$||')
mkdir -p build/fuzz
export ASAN_OPTIONS=allocator_may_return_null=1
one() {
  mkdir -p "build/fuzz/$1/corpus"
  if ! "build/asan/fuzz/fuzz_$1" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="build/fuzz/$1/" \
    -print_final_stats=1 "build/fuzz/$1/corpus" "fuzz/corpus/$1" >"build/fuzz/$1/log" 2>&1; then
    echo "fuzz: FINDING in $1: see build/fuzz/$1/log"
    return 1
  fi
  echo "fuzz: $1: $(grep -oE 'number_of_executed_units: [0-9]+' "build/fuzz/$1/log"), no finding"
}
export -f one
printf '%s\n' "${names[@]}" | xargs -P 2 -I{} bash -c "one {} $seconds"
