#!/usr/bin/env bash
# clang-format over every tracked C++ file: checks, or with --fix rewrites.
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files '*.cpp' '*.h')
if [ "${1:-}" = --fix ]; then
  clang-format-19 -i "${files[@]}"
else
  clang-format-19 --dry-run --Werror "${files[@]}" && echo "format: ${#files[@]} files are clean"
fi
