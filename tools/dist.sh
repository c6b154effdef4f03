#!/usr/bin/env bash
# Makes dist/autoglm-VERSION-linux-ARCH.tar.gz: the binary with every library that is not glibc's bundled beside it,
# completions, man page, licences, and an uninstaller. It runs wherever glibc is 2.36 or newer.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(build/bin/autoglm version --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["version"])')
name=autoglm-$version-linux-$(uname -m)
stage=dist/$name
rm -rf "$stage"
mkdir -p "$stage/lib" "$stage/share/doc/autoglm/licences"
tools/install.sh "$stage" >/dev/null
strip --strip-debug "$stage/bin/autoglm"  # names of functions stay: profiles show them

# Everything but glibc itself and the loader.
ldd build/bin/autoglm | awk '$2 == "=>" {print $1, $3}' | grep -vE '^(libc|libm|libpthread|libdl|librt|libresolv)\.so' |
  while read -r soname file; do
    cp -L "$file" "$stage/lib/$soname"
    patchelf --set-rpath '$ORIGIN' "$stage/lib/$soname"
    # Debian's database knows a library as /lib/... or as /usr/lib/..., whichever its package was built with.
    real=$(readlink -f "$file")
    package=$(dpkg-query -S "$real" "${real#/usr}" 2>/dev/null | head -1 | cut -d: -f1 || true)
    [ -z "$package" ] || cp -L "/usr/share/doc/$package/copyright" "$stage/share/doc/autoglm/licences/$package" 2>/dev/null || true
  done
for package in nlohmann-json3-dev libcli11-dev libpcre2-dev libxxhash-dev; do  # in the binary itself
  cp -L "/usr/share/doc/$package/copyright" "$stage/share/doc/autoglm/licences/$package" 2>/dev/null || true
done
patchelf --set-rpath '$ORIGIN/../lib' "$stage/bin/autoglm"

cat >"$stage/uninstall.sh" <<'END'
#!/bin/sh
# Removes what this tarball brought, wherever it was unpacked; models and caches stay unless --all is given.
set -e
here=$(cd "$(dirname "$0")" && pwd)
[ -x "$here/bin/autoglm" ] || { echo "uninstall: $here does not look like autoglm" >&2; exit 1; }
if [ "${1:-}" = --all ]; then
  rm -rf "${AUTOGLM_HOME:-${XDG_DATA_HOME:-$HOME/.local/share}/autoglm}" \
    "${XDG_CACHE_HOME:-$HOME/.cache}/autoglm" "${XDG_STATE_HOME:-$HOME/.local/state}/autoglm"
fi
rm -rf "$here/bin" "$here/lib" "$here/share" "$here/README.md" "$here/README.zh.md" "$here/uninstall.sh"
rmdir "$here" 2>/dev/null || true
echo "autoglm is removed from $here"
END
chmod 755 "$stage/uninstall.sh"
cp README.md README.zh.md "$stage/"
tar -C dist --owner=0 --group=0 --sort=name --mtime=@0 -czf "dist/$name.tar.gz" "$name"
rm -rf "$stage"
ls -l "dist/$name.tar.gz"
