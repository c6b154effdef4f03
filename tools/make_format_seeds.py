#!/usr/bin/env python3
"""Writes the seeds of the format fuzzers: fuzz/corpus/{gguf,safetensors,hf_config}.

Needs: gguf, safetensors, numpy. Only to change the seeds; never to build or test. Configurations are those of
tests/data/models with the shapes of ropes that exist, and some that must be refused.
"""

import json
import pathlib

import gguf
import numpy as np
from safetensors.numpy import save

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz" / "corpus"


def folder(name):
    path = CORPUS / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def gguf_seeds():
    out = folder("gguf")
    for endian in (gguf.GGUFEndian.LITTLE, gguf.GGUFEndian.BIG):
        writer = gguf.GGUFWriter(out / f"values_{endian.name.lower()}.gguf", "llama", endianess=endian)
        writer.add_block_count(2)
        writer.add_head_count_kv([1, 2])
        writer.add_rope_freq_base(10000.0)
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(2.0)
        writer.add_token_list(["a", "b", "中"])
        writer.add_token_scores([0.5, 1.0, -1.0])
        writer.add_bool("llama.flag", True)
        writer.add_array("llama.attention.sliding_window_pattern", [True, False])
        writer.add_uint64("wide", 1 << 40)
        writer.add_float64("double", 1e300)
        writer.add_int8("small", -3)
        writer.add_tensor("a.weight", np.arange(6, dtype=np.float32).reshape(2, 3))
        writer.add_tensor("b.weight", np.arange(4, dtype=np.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    for qtype in ("Q4_0", "Q8_0", "Q4_K", "Q6_K", "IQ4_XS", "IQ2_XXS", "MXFP4"):
        kind = gguf.GGMLQuantizationType[qtype]
        columns, size = gguf.GGML_QUANT_SIZES[kind]
        writer = gguf.GGUFWriter(out / f"{qtype.lower()}.gguf", "glm4")
        writer.add_custom_alignment(64)
        writer.add_tensor("w", np.arange(2 * size, dtype=np.uint8).reshape(2, size), raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def safetensors_seeds():
    out = folder("safetensors")
    (out / "plain").write_bytes(save({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.float16),
                                      "c": np.arange(3, dtype=np.int64), "d": np.array([True])}, {"format": "pt"}))
    (out / "unsigned").write_bytes(save({"a": np.zeros(4, np.uint8)}))
    (out / "index").write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": {"a": "x.safetensors"}}))


def config_seeds():
    out = folder("hf_config")
    for source in sorted((ROOT / "tests" / "data" / "models").glob("*-a/config*.json")):
        config = json.loads(source.read_text())
        (out / f"{source.parent.name}.{source.stem}.json").write_text(json.dumps(config))
    more = {
        "nested": {"text_config": {"hidden_size": 8, "rope_scaling": {"type": "yarn", "factor": 4}}, "vision_config": {}},
        "fp8": {"quantization_config": {"quant_method": "fp8"}},
        "llama3": {"max_position_embeddings": 9, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
        "local": {"rope_theta": 1e6, "rope_local_base_freq": 1e4, "rope_scaling": {"rope_type": "linear", "factor": 8}},
    }
    for name, config in more.items():
        (out / f"{name}.json").write_text(json.dumps(config))


gguf_seeds()
safetensors_seeds()
config_seeds()
