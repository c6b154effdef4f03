#!/usr/bin/env bash
# clang-tidy (.clang-tidy's checks, every warning an error).
#
#  --all          every source file
#  --since REV    the .cpp files that differ from REV, and those that include a header that differs (if none does: those
#                 that include a header which includes it, and so on)
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f build/release/compile_commands.json ] || cmake --preset release >/dev/null
# clang-tidy takes the first word for the compiler: the compile commands without ccache in front.
database=build/lint
mkdir -p $database
sed -E 's|("command": ")[^"]*ccache |\1|' build/release/compile_commands.json >$database/compile_commands.json

mapfile -t all < <(git ls-files 'src/*.cpp')
files=()
if [ "${1:---all}" = --since ]; then
  changed=$(git diff --name-only --diff-filter=d "$2" -- '*.cpp' '*.h' '*.inl')
  headers=$(grep -E '\.(h|inl)$' <<<"$changed" | sed 's|^src/||' || true)
  todo=$headers
  while [ -n "$todo" ]; do
    above=
    for header in $todo; do
      git grep -qF "#include \"$header\"" -- 'src/*.cpp' && continue
      above+=" $(git grep -lF "#include \"$header\"" -- 'src/*.h' 'src/*.inl' | sed 's|^src/||' || true)"
    done
    todo=$(tr -s ' ' '\n' <<<"$above" | sort -u | sed '/^$/d')
    headers=$(printf '%s\n%s' "$headers" "$todo" | sed '/^$/d')
  done
  for file in "${all[@]}"; do
    if grep -qxF "$file" <<<"$changed"; then
      files+=("$file")
    elif [ -n "$headers" ] && grep -qF -f <(sed 's|.*|#include "&"|' <<<"$headers") "$file"; then
      files+=("$file")
    fi
  done
else
  files=("${all[@]}")
fi
[ ${#files[@]} -gt 0 ] || { echo "lint: nothing changed"; exit 0; }
echo "lint: clang-tidy over ${#files[@]} files"
printf '%s\n' "${files[@]}" | xargs -P "$(tools/jobs.sh)" -n 4 clang-tidy-19 -p $database --quiet 2> >(grep -vE 'warnings? generated|Suppressed|Use -header-filter' >&2)
echo "lint: clean"
