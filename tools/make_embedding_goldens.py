#!/usr/bin/env python3
"""Makes tests/data/embeddings.json: what transformers' hidden states of the tiny checkpoints are, pooled.

    pip install torch 'transformers>=5' numpy
    python3 tools/make_embedding_goldens.py          (after tools/make_goldens.py)

For each folder and each number of tokens of its prompt: the mean, the first and the last row of last_hidden_state
(behind the final norm), in float32 with eager attention, as sentence-transformers pools them; not normalized.
"""

import json
import pathlib

import torch
from transformers import AutoModel

DATA = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data"
FOLDERS = ["llama-a", "qwen2-a", "qwen3-a", "gemma3-a", "glm4-a"]


def rounded(row):
    return [round(value, 6) for value in row.tolist()]


def main():
    result = {}
    for name in FOLDERS:
        folder = DATA / "models" / name
        model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        golden = json.loads((folder / "golden.json").read_text())
        rows = {}
        for length in sorted({1, 17, len(golden["tokens"])}):
            with torch.no_grad():
                states = model(torch.tensor([golden["tokens"][:length]])).last_hidden_state[0]
            rows[str(length)] = {"mean": rounded(states.mean(0)), "first": rounded(states[0]), "last": rounded(states[-1])}
        result[name] = rows
    (DATA / "embeddings.json").write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
