#!/usr/bin/env bash
# Unpacks the tarball in a bare Debian (debootstrap, minbase: no compiler, no library beyond the base system) and runs it:
# version, completions, man page, an answer of the real model, uninstall. Needs root, or sudo without a password.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD/build/chroot
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)

if [ ! -f "$root.done" ]; then
  "${as_root[@]}" rm -rf "$root"
  echo "dist_test: making a bare Debian in build/chroot (once)"
  "${as_root[@]}" debootstrap --variant=minbase bookworm "$root" >build/debootstrap.log 2>&1 || { tail -5 build/debootstrap.log; exit 1; }
  touch "$root.done"
fi
tools/dist.sh
tarball=$(ls -t dist/autoglm-*.tar.gz | head -1)
"${as_root[@]}" rm -rf "$root/opt/autoglm"
"${as_root[@]}" mkdir -p "$root/opt/autoglm"
"${as_root[@]}" tar -xzf "$tarball" -C "$root/opt/autoglm" --strip-components=1
"${as_root[@]}" cp build/oracle/smollm2-135m-q4_1.gguf "$root/opt/model.gguf"

# In a namespace of its own, with /proc (the loader finds libraries beside the program through it): nothing stays mounted.
inside() {
  "${as_root[@]}" unshare --mount --pid --fork --mount-proc="$root/proc" chroot "$root" env -i PATH=/usr/bin:/bin HOME=/root LANG=C.UTF-8 "$@"
}
inside /opt/autoglm/bin/autoglm version
inside /opt/autoglm/bin/autoglm version --json | grep -q '"isas"'
grep -q -- --threads "$root/opt/autoglm/share/bash-completion/completions/autoglm"
grep -q -- --threads "$root/opt/autoglm/share/zsh/site-functions/_autoglm"
grep -q '^\.TH AUTOGLM 1' "$root/opt/autoglm/share/man/man1/autoglm.1"
answer=$(inside /opt/autoglm/bin/autoglm run /opt/model.gguf --precision f32 --temp 0 --max-tokens 16 "What is the capital of France?")
echo "dist_test: it answers: $answer"
grep -q Paris <<<"$answer"
inside /opt/autoglm/uninstall.sh
[ ! -e "$root/opt/autoglm" ] || { echo "dist_test: something is left: $(ls "$root/opt/autoglm")"; exit 1; }
"${as_root[@]}" rm -f "$root/opt/model.gguf"
