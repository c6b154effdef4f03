#!/usr/bin/env python3
"""Writes tests/data/types: block types decoded and encoded by the `gguf` package, the oracle of tests/format/type_test.

Needs: gguf, numpy. Only to change the goldens; never to build or test.

NAME.decode.bin   random blocks (any byte pattern, then some with scales near 1/100), then their values as float32
NAME.encode.bin   random float32 values (with rows of zeros and of one value), then their blocks
"""

import pathlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "types"
# Where the halves of a block's scales lie, so that half of the blocks can be given ordinary ones.
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
ENCODED = ["BF16", "F16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"]


def decode_golden(name, random):
    qtype = GGMLQuantizationType[name]
    columns, size = GGML_QUANT_SIZES[qtype]
    blocks = random.integers(0, 256, ({1: 512, 32: 32, 256: 8}[columns], size), dtype=np.uint8)
    for offset in HALVES.get(name, []):
        ordinary = blocks[: len(blocks) // 2]
        halves = (random.standard_normal(len(ordinary)) / 100).astype(np.float16)
        ordinary[:, offset : offset + 2] = halves.view(np.uint8).reshape(-1, 2)
    with np.errstate(all="ignore"):
        values = dequantize(blocks.reshape(1, -1), qtype).astype(np.float32)
    (OUT / f"{name.lower()}.decode.bin").write_bytes(blocks.tobytes() + values.tobytes())


def encode_golden(name, random):
    values = random.standard_normal((16, 64)).astype(np.float32)
    values[3] = 0
    values[4] = -1.25
    values[5] *= 1e-6  # subnormal halves as scales
    values[6] *= 1e4
    values[7] = np.round(values[7] * 4)  # ties
    (OUT / f"{name.lower()}.encode.bin").write_bytes(
        values.tobytes() + np.ascontiguousarray(quantize(values, GGMLQuantizationType[name])).tobytes())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(20250101)
    for name in ["F16", "BF16", *HALVES]:
        decode_golden(name, random)
    for name in ENCODED:
        encode_golden(name, random)
    print(f"wrote {OUT}")


main()
