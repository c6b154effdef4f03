#!/usr/bin/env bash
# Many short requests of every kind on a tiny model under ASan and UBSan: no wrong answer, and memory that stays flat.
#   tools/soak.sh [REQUESTS]
set -euo pipefail
cd "$(dirname "$0")/.."
tools/setup.sh check
cmake --preset asan >/dev/null
cmake --build --preset asan -j "$(tools/jobs.sh)" --target soak
# What is freed is kept for a while, so that its use is found: a little of it, or it hides what grows.
ASAN_OPTIONS=quarantine_size_mb=8:malloc_context_size=5 UBSAN_OPTIONS=print_stacktrace=1 \
  build/asan/tests/soak --requests "${1:-100000}"
