#!/bin/bash
# Converts every checkpoint of tests/data/models and has llama.cpp compute its logits.
#
#     pip install llama-cpp-python numpy
#     tools/check_convert_with_llama.sh [AUTOGLM]      (default: build/bin/autoglm)
#
# No part of `make test`: llama-cpp-python is a large build. Says so and succeeds where it is not installed. llama.cpp
# keeps its KV cache in F16, hence the tolerance of 0.03 standard deviations.
set -euo pipefail
cd "$(dirname "$0")/.."
autoglm=${1:-build/bin/autoglm}
if ! python3 -c 'import llama_cpp, numpy' 2>/dev/null; then
  echo "llama-cpp-python or numpy is not installed: nothing was checked"
  exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Structures that llama.cpp cannot load under any name: attention output biases in qwen3, dense layers among qwen3moe's
# experts, latent attention without a low-rank query.
skip=" qwen3-b qwen3_moe-b glm4_moe_lite-b "
failed=0
for model in tests/data/models/*/; do
  name=$(basename "$model")
  [[ $skip == *" $name "* ]] && continue
  "$autoglm" convert "$model" "$folder/$name.gguf" --type f32 >/dev/null 2>&1
  python3 - "$folder/$name.gguf" "$model" 2>/dev/null <<'PYTHON' || { echo "$name: FAILED"; failed=1; }
import json
import pathlib
import sys

import llama_cpp as llama
import numpy as np

path, folder = sys.argv[1], pathlib.Path(sys.argv[2])
tokens = json.loads((folder / "golden.json").read_text())["tokens"]
expected = np.load(folder / "logits.npy")
model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
assert model, "llama.cpp does not load the file"
settings = llama.llama_context_default_params()
settings.n_ctx = settings.n_batch = settings.n_ubatch = 512
context = llama.llama_init_from_model(model, settings)
batch = llama.llama_batch_init(len(tokens), 0, 1)
batch.n_tokens = len(tokens)
for i, token in enumerate(tokens):
    batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, i, 1, 0, 1
assert llama.llama_decode(context, batch) == 0
got = np.ctypeslib.as_array(llama.llama_get_logits(context), shape=(expected.size,)).reshape(expected.shape)
error = np.abs(got - expected).max() / expected.std()
print(f"{folder.name}: largest error {error:.4f} standard deviations")
assert error < 0.03
PYTHON
done
exit $failed
