#!/usr/bin/env python3
"""Makes tests/data/models: tiny random checkpoints of every family, with the logits that transformers gives them.

    pip install torch 'transformers>=5' safetensors numpy
    python3 tools/make_goldens.py [FOLDER ...]          (default: all)

Each folder holds
    config.json        nested form, as transformers 5 saves it (rope_parameters)
    config.flat.json   the older form of the same meaning (rope_theta, rope_scaling, partial_rotary_factor)
    model*.safetensors weights, f32 or bf16 (then the goldens are of the rounded weights)
    golden.json        {"tokens": [...], "lengths": [...]}: the prompt, and shorter prompts worth testing
    logits.npy         float32 [tokens, vocabulary], float32 arithmetic, eager attention

Both forms of a configuration are loaded again and must give these logits. `chatglm` (the original naming, which
transformers does not have) is a `glm` checkpoint with renamed and fused weights and ChatGLM's own configuration.
Seeds are fixed; norms, biases and router corrections are far from their neutral values, so that none can be forgotten.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

OUT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "models"
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 4.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}


def rope(theta, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


# Folder: (model_type, dtype of the file, configuration). The letters differ in shape and in what is switched on.
MODELS = {
    "llama-a": ("llama", "f32", dict(
        vocab_size=160, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=8, rope_parameters=rope(10000.0), rms_norm_eps=1e-5)),
    "llama-b": ("llama", "bf16", dict(
        vocab_size=192, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=32, rope_parameters=LLAMA3, rms_norm_eps=1e-6, attention_bias=True,
        max_position_embeddings=256)),
    "llama-c": ("llama", "bf16", dict(
        vocab_size=160, hidden_size=96, intermediate_size=160, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=3, head_dim=16,
        rope_parameters={"rope_type": "linear", "rope_theta": 5000.0, "factor": 2.5}, rms_norm_eps=1e-5)),
    "llama-d": ("llama", "f32", dict(  # as SmolLM2: tied head, head_dim left to hidden / heads
        vocab_size=192, hidden_size=72, intermediate_size=100, num_hidden_layers=2, num_attention_heads=9,
        num_key_value_heads=3, rope_parameters=rope(100000.0), rms_norm_eps=1e-5, tie_word_embeddings=True)),
    "glm-a": ("glm", "f32", dict(
        vocab_size=160, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=12, rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        rms_norm_eps=1.5625e-07, attention_bias=True, _tokens=65, _lengths=[1, 63, 64, 65])),
    "glm-b": ("glm", "bf16", dict(  # as GLM-Edge: whole heads rotate, no bias, head tied
        vocab_size=224, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, rope_parameters=rope(10000.0, partial_rotary_factor=1.0),
        rms_norm_eps=1e-5, attention_bias=False, tie_word_embeddings=True)),
    "qwen2-a": ("qwen2", "f32", dict(
        vocab_size=176, hidden_size=56, intermediate_size=76, num_hidden_layers=2, num_attention_heads=7,
        num_key_value_heads=1, rope_parameters=rope(1000000.0), rms_norm_eps=1e-6, tie_word_embeddings=True)),
    "qwen2-b": ("qwen2", "bf16", dict(
        vocab_size=192, hidden_size=96, intermediate_size=128, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, rope_parameters=rope(10000.0), rms_norm_eps=1e-6)),
    "qwen3-a": ("qwen3", "f32", dict(
        vocab_size=160, hidden_size=40, intermediate_size=88, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=24, rope_parameters=rope(1000000.0), rms_norm_eps=1e-6,
        tie_word_embeddings=True)),
    "qwen3-b": ("qwen3", "bf16", dict(
        vocab_size=192, hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=8,
        num_key_value_heads=2, head_dim=16, rope_parameters=rope(10000.0), rms_norm_eps=1e-5, attention_bias=True)),
    "qwen3_moe-a": ("qwen3_moe", "bf16", dict(
        vocab_size=160, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=24, rope_parameters=rope(1000000.0), num_experts=8, num_experts_per_tok=3,
        moe_intermediate_size=32, norm_topk_prob=True, decoder_sparse_step=1, mlp_only_layers=[])),
    "qwen3_moe-b": ("qwen3_moe", "f32", dict(
        vocab_size=160, hidden_size=40, intermediate_size=56, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, rope_parameters=rope(10000.0), num_experts=5, num_experts_per_tok=2,
        moe_intermediate_size=20, norm_topk_prob=False, decoder_sparse_step=1, mlp_only_layers=[0])),
    "gemma3-a": ("gemma3_text", "f32", dict(
        vocab_size=160, hidden_size=48, intermediate_size=72, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=16, sliding_window=9, query_pre_attn_scalar=16, rms_norm_eps=1e-6,
        _pattern=3, _ropes=(rope(1000000.0), rope(10000.0)))),
    "gemma3-b": ("gemma3_text", "bf16", dict(
        vocab_size=192, hidden_size=64, intermediate_size=96, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=24, sliding_window=16, query_pre_attn_scalar=40, rms_norm_eps=1e-6,
        _pattern=2, _ropes=({"rope_type": "linear", "rope_theta": 1000000.0, "factor": 8.0}, rope(10000.0)))),
    "gemma3-c": ("gemma3_text", "bf16", dict(  # soft-caps set
        vocab_size=160, hidden_size=64, intermediate_size=80, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, sliding_window=5, query_pre_attn_scalar=32, rms_norm_eps=1e-6,
        attn_logit_softcapping=3.0, final_logit_softcapping=2.5,
        _pattern=2, _ropes=(rope(500000.0), rope(20000.0)))),
    "glm4-a": ("glm4", "f32", dict(
        vocab_size=160, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        rms_norm_eps=1e-5, attention_bias=False)),
    "glm4-b": ("glm4", "bf16", dict(
        vocab_size=192, hidden_size=96, intermediate_size=128, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=24, rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        rms_norm_eps=1e-5, attention_bias=True, _shards=4)),
    "glm4_moe-a": ("glm4_moe", "bf16", dict(  # as GLM-4.5
        vocab_size=160, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, head_dim=16, rope_parameters=rope(1000000.0, partial_rotary_factor=0.5),
        attention_bias=True, use_qk_norm=True, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=1,
        moe_intermediate_size=32, first_k_dense_replace=1, routed_scaling_factor=2.5, n_group=1, topk_group=1,
        norm_topk_prob=True, num_nextn_predict_layers=0)),
    "glm4_moe-b": ("glm4_moe", "f32", dict(  # groups, two shared experts, and an MTP layer that must not be run
        vocab_size=160, hidden_size=40, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=1, head_dim=20, rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        attention_bias=False, use_qk_norm=False, n_routed_experts=9, num_experts_per_tok=2, n_shared_experts=2,
        moe_intermediate_size=16, first_k_dense_replace=2, routed_scaling_factor=1.0, n_group=3, topk_group=2,
        norm_topk_prob=True, _seed=2, num_nextn_predict_layers=1)),
    "glm4_moe_lite-a": ("glm4_moe_lite", "bf16", dict(  # as GLM-4.7-Flash
        vocab_size=160, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, q_lora_rank=32, kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16,
        v_head_dim=24, rope_parameters=rope(1000000.0), attention_bias=False, n_routed_experts=8,
        num_experts_per_tok=3, n_shared_experts=1, moe_intermediate_size=32, routed_scaling_factor=1.8, n_group=1,
        topk_group=1, norm_topk_prob=True, _seed=5)),
    "glm4_moe_lite-b": ("glm4_moe_lite", "f32", dict(  # q in one projection
        vocab_size=160, hidden_size=40, intermediate_size=56, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=3, q_lora_rank=None, kv_lora_rank=20, qk_nope_head_dim=12, qk_rope_head_dim=8,
        v_head_dim=16, rope_parameters=rope(10000.0), attention_bias=False, n_routed_experts=6,
        num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=20, routed_scaling_factor=1.0, n_group=2,
        topk_group=1, norm_topk_prob=True, _seed=2)),
    "chatglm-a": ("chatglm", "bf16", dict(  # as ChatGLM3-6B
        vocab_size=192, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, rope_parameters=rope(10000.0, partial_rotary_factor=0.5),
        rms_norm_eps=1e-5, attention_bias=True)),
    "chatglm-b": ("chatglm", "f32", dict(  # as GLM-4-9B: rope_ratio
        vocab_size=160, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=1, head_dim=8, rope_parameters=rope(5000000.0, partial_rotary_factor=0.5),
        rms_norm_eps=1.5625e-07, attention_bias=True, _ratio=500, _shards=3)),
}


def make_config(kind, values):
    """The configuration for transformers, from a row of MODELS (keys with a leading underscore are ours)."""
    values = {k: v for k, v in values.items()}
    if "_pattern" in values:
        layers = values["num_hidden_layers"]
        values["layer_types"] = ["full_attention" if (i + 1) % values["_pattern"] == 0 else "sliding_attention"
                                 for i in range(layers)]
        full, local = values["_ropes"]
        values["rope_parameters"] = {"full_attention": full, "sliding_attention": local}
    values = {k: v for k, v in values.items() if not k.startswith("_")}
    values.setdefault("max_position_embeddings", 512)
    values.update(bos_token_id=1, eos_token_id=2, pad_token_id=0)
    return AutoConfig.for_model("glm" if kind == "chatglm" else kind, **values)


def randomize(model, seed):
    """Weights of deviation 1 / sqrt(fan in); everything that is usually neutral gets a value of its own."""
    generator = torch.Generator().manual_seed(seed)
    gemma = model.config.model_type.startswith("gemma")
    state = dict(model.named_parameters()) | {k: v for k, v in model.named_buffers() if "correction" in k}
    for name, value in sorted(state.items()):
        noise = torch.randn(value.shape, generator=generator)
        if "correction" in name:
            new = 0.15 * noise
        elif name.endswith("bias"):
            new = 0.3 * noise
        elif value.dim() == 1:  # norms; Gemma stores w for a factor of 1 + w
            new = (0.0 if gemma else 1.0) + 0.3 * noise
        elif "embed_tokens" in name:
            tied = model.config.tie_word_embeddings  # the table is also the head: keep the logits' deviation near 1
            new = noise * (1.2 * model.config.hidden_size**-0.5 if gemma or tied else 1.0)
        elif name.endswith("mlp.gate.weight"):
            new = 2.0 * noise / value.shape[-1]**0.5
        else:
            new = 1.2 * noise / value.shape[-1]**0.5
        value.data.copy_(new)


def logits_of(model, tokens):
    with torch.no_grad():
        return model(torch.tensor([tokens])).logits[0].float().numpy()


def flat_config(nested, values):
    """The older form of a configuration."""
    flat = json.loads(json.dumps(nested))
    flat["torch_dtype"] = flat.pop("dtype")
    flat["transformers_version"] = "4.51.0"
    parameters = flat.pop("rope_parameters")
    if "full_attention" in parameters:
        flat.pop("layer_types"), flat.pop("_sliding_window_pattern")
        flat["sliding_window_pattern"] = values["_pattern"]
        flat["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
    if "mlp_layer_types" in flat:
        flat["first_k_dense_replace"] = flat.pop("mlp_layer_types").count("dense")
        flat["topk_method"] = "noaux_tc"
    flat["rope_theta"] = parameters.pop("rope_theta")
    if "partial_rotary_factor" in parameters:
        flat["partial_rotary_factor"] = parameters.pop("partial_rotary_factor")
    flat["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    return flat


def chatglm_config(values, dtype):
    """ChatGLM's own configuration, with the keys that its published files have."""
    config = {
        "architectures": ["ChatGLMModel"], "model_type": "chatglm", "add_bias_linear": False,
        "add_qkv_bias": values["attention_bias"], "apply_query_key_layer_scaling": True,
        "apply_residual_connection_post_layernorm": False, "attention_dropout": 0.0,
        "attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "ffn_hidden_size": values["intermediate_size"],
        "fp32_residual_connection": False, "hidden_dropout": 0.0, "hidden_size": values["hidden_size"],
        "kv_channels": values["head_dim"], "layernorm_epsilon": values["rms_norm_eps"], "multi_query_attention": True,
        "multi_query_group_num": values["num_key_value_heads"], "num_attention_heads": values["num_attention_heads"],
        "num_layers": values["num_hidden_layers"], "original_rope": True, "padded_vocab_size": values["vocab_size"],
        "post_layer_norm": True, "rmsnorm": True, "seq_length": 512, "use_cache": True, "torch_dtype": dtype,
        "tie_word_embeddings": False, "eos_token_id": 2, "pad_token_id": 0}
    if "_ratio" in values:
        config |= {"rope_ratio": values["_ratio"], "eos_token_id": [2, 3, 4]}
    return config


def chatglm_weights(state, values):
    """`glm` weights under ChatGLM's names: [Q|K|V] in one matrix; gate and up already are."""
    out = {"transformer.embedding.word_embeddings.weight": state["model.embed_tokens.weight"],
           "transformer.encoder.final_layernorm.weight": state["model.norm.weight"],
           "transformer.output_layer.weight": state["lm_head.weight"],
           "transformer.rotary_pos_emb.inv_freq": torch.ones(values["head_dim"] // 4)}  # as published; not used
    renames = {"self_attn.o_proj.weight": "self_attention.dense.weight",
               "input_layernorm.weight": "input_layernorm.weight",
               "post_attention_layernorm.weight": "post_attention_layernorm.weight",
               "mlp.gate_up_proj.weight": "mlp.dense_h_to_4h.weight",
               "mlp.down_proj.weight": "mlp.dense_4h_to_h.weight"}
    for layer in range(values["num_hidden_layers"]):
        old, new = f"model.layers.{layer}.", f"transformer.encoder.layers.{layer}."
        for part in ("weight", "bias"):
            out[f"{new}self_attention.query_key_value.{part}"] = torch.cat(
                [state[f"{old}self_attn.{p}_proj.{part}"] for p in "qkv"])
        for a, b in renames.items():
            out[new + b] = state[old + a]
    return out


def mtp_weights(state, config):
    """A next-token-prediction layer behind the last one, as GLM-4.5 checkpoints have it."""
    n = config.num_hidden_layers
    last = {k: v for k, v in state.items() if k.startswith(f"model.layers.{n - 1}.")}
    out = {k.replace(f".{n - 1}.", f".{n}.", 1): v.clone() for k, v in last.items()}
    h = config.hidden_size
    for name in ("enorm", "hnorm", "shared_head.norm"):
        out[f"model.layers.{n}.{name}.weight"] = torch.full((h,), 0.5)
    out[f"model.layers.{n}.eh_proj.weight"] = torch.full((h, 2 * h), 0.25)
    return out


def save_weights(folder, state, shards):
    state = {k: v.contiguous() for k, v in state.items()}
    if shards == 1:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(state)
    index = {"metadata": {"total_size": sum(v.numel() * v.element_size() for v in state.values())}, "weight_map": {}}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = names[i::shards]
        save_file({k: state[k] for k in part}, folder / file, metadata={"format": "pt"})
        index["weight_map"] |= {k: file for k in part}
    index["weight_map"] = dict(sorted(index["weight_map"].items()))
    write_json(folder / "model.safetensors.index.json", index)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_golden(path, tokens, lengths, logits):
    text = json.dumps({"tokens": tokens, "lengths": lengths})
    (path / "golden.json").write_text(text + "\n", encoding="utf-8")
    np.save(path / "logits.npy", logits.astype(np.float32))


def check_form(folder, config, expected, tokens):
    """Loads the folder with this configuration in place of its own: the logits must be those already made."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = pathlib.Path(temporary)
        for file in folder.glob("model*"):
            shutil.copy(file, copy)
        write_json(copy / "config.json", config)
        model = AutoModelForCausalLM.from_pretrained(copy, dtype=torch.float32, attn_implementation="eager").eval()
        error = np.abs(logits_of(model, tokens) - expected).max()
        assert error < 1e-5, f"{folder.name}: a form of its configuration means something else ({error})"


def make(name, seed):
    kind, storage, values = MODELS[name]
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[storage]
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    config = make_config(kind, values)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomize(model, seed)
    for key, value in list(model.named_parameters()) + list(model.named_buffers()):
        if "inv_freq" not in key and "correction" not in key:
            value.data.copy_(value.data.to(dtype).float())

    count = values.get("_tokens", 40)
    lengths = values.get("_lengths", [count])
    tokens = np.random.default_rng(seed).integers(3, values["vocab_size"], count).tolist()
    logits = logits_of(model, tokens)
    for length in lengths:
        assert np.abs(logits_of(model, tokens[:length]) - logits[:length]).max() < 1e-5

    # transformers' own writer decides the names (it splits fused experts again).
    with tempfile.TemporaryDirectory() as temporary:
        model.save_pretrained(temporary)
        state = load_file(pathlib.Path(temporary) / "model.safetensors")
        nested = json.loads((pathlib.Path(temporary) / "config.json").read_text())
    nested["dtype"] = {"f32": "float32", "bf16": "bfloat16"}[storage]
    state = {k: v if "correction" in k else v.to(dtype) for k, v in state.items()}
    if values.get("num_nextn_predict_layers"):
        state |= mtp_weights(state, config)

    if kind == "chatglm":
        save_weights(folder, chatglm_weights(state, values), values.get("_shards", 1))
        write_json(folder / "config.json", chatglm_config(values, nested["dtype"]))
    else:
        save_weights(folder, state, values.get("_shards", 1))
        flat = flat_config(nested, values)
        write_json(folder / "config.json", nested)
        write_json(folder / "config.flat.json", flat)
        check_form(folder, nested, logits, tokens)
        check_form(folder, flat, logits, tokens)
    write_golden(folder, tokens, lengths, logits)
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: {size / 1024:.0f} KiB, logits' deviation {logits.std():.3f}, transformers {transformers.__version__}")


def main():
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # it reports the MTP layer, which it rightly does not load
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    wanted = sys.argv[1:] or list(MODELS)
    for name in wanted:
        # A row may have a seed of its own: chosen so that no router's decision is a near tie, which the rounding of
        # activations would turn and the goldens would then mistake for an error.
        make(name, MODELS[name][2].get("_seed", 1000 + list(MODELS).index(name)))


if __name__ == "__main__":
    main()
