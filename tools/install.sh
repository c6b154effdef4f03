#!/usr/bin/env bash
# Puts the built program, its completions and its man page under PREFIX, or removes just those files.
#   tools/install.sh [--remove] PREFIX
set -euo pipefail
cd "$(dirname "$0")/.."
remove=
[ "${1:-}" = --remove ] && { remove=1; shift; }
prefix=${1:?PREFIX}
bin=build/bin/autoglm

files=(bin/autoglm share/bash-completion/completions/autoglm share/zsh/site-functions/_autoglm share/man/man1/autoglm.1
  share/doc/autoglm/LICENSE share/doc/autoglm/NOTICE share/autoglm/selftest.py)
if [ -n "$remove" ]; then
  for file in "${files[@]}"; do rm -f "$prefix/$file"; done
  rmdir "$prefix/share/doc/autoglm" "$prefix/share/autoglm" 2>/dev/null || true
  echo "removed autoglm from $prefix (models stay; autoglm's data folders are \$XDG_DATA_HOME/autoglm and \$XDG_CACHE_HOME/autoglm)"
  exit 0
fi
install -D -m 755 $bin "$prefix/bin/autoglm"
put() { mkdir -p "$(dirname "$prefix/$1")" && cat >"$prefix/$1"; }
$bin completion bash | put share/bash-completion/completions/autoglm
$bin completion zsh | put share/zsh/site-functions/_autoglm
$bin man | put share/man/man1/autoglm.1
install -D -m 644 LICENSE "$prefix/share/doc/autoglm/LICENSE"
install -D -m 644 NOTICE "$prefix/share/doc/autoglm/NOTICE"
install -D -m 755 tools/selftest.py "$prefix/share/autoglm/selftest.py"              # for `autoglm selftest`
echo "installed autoglm in $prefix"
