#!/usr/bin/env python3
"""Makes tests/data/real: what the two real models compute in exact float32, and llama.cpp's perplexity of a long text.

    pip install torch 'transformers>=5' accelerate gguf numpy
    python3 tools/make_real_goldens.py [--llama-perplexity PROGRAM]

For each model of build/oracle (tools/fetch_test_data.sh brings them) transformers loads the GGUF dequantized to float32
and runs the first 384 tokens of tests/data/texts/mixed.txt:
    NAME.json  {"text", "tokens": 384 ids, "prose_tokens": ids of prose.txt, "exact_perplexity": in
               float32, "perplexity": {...}, "llama_cpp": {"mean_kl", "top1"}: what llama.cpp's 8-bit activations cost}
    NAME.npy   float32 [384, hidden]: the hidden states after the final norm; times the head they are the logits
The dequantized weights are compared with the `gguf` package's own (a wrong permutation or norm would show), and NAME.npy
with the logits that the model itself returns.

"perplexity" is what llama.cpp prints for the whole of prose.txt: chunks of 512 tokens (the first of each replaced by BOS
if the model wants one), of which the predictions of tokens 257 to 511 count; the last incomplete chunk is left out.
"""

import argparse
import json
import pathlib
import re
import subprocess

import gguf
import numpy as np
import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORACLE = ROOT / "build" / "oracle"
TEXTS = ROOT / "tests" / "data" / "texts"
OUT = ROOT / "tests" / "data" / "real"
MODELS = {"smollm2": "smollm2-135m-q4_1.gguf", "gemma3": "gemma3-270m-q4_k_m.gguf"}
TOKENS = 384
CONTEXT = 512


def load_tokenizer(file):
    """transformers rebuilds a tokenizer from the GGUF but for the pre-tokenizer: SmolLM's cuts digits out first."""
    tokenizer = AutoTokenizer.from_pretrained(ORACLE, gguf_file=file)
    if gguf.GGUFReader(ORACLE / file).fields["tokenizer.ggml.pre"].contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def check_weights(model, file):
    """Every matrix that keeps its rows' order, and every norm, against the gguf package's dequantization."""
    state = model.state_dict()
    gemma = model.config.model_type.startswith("gemma3")
    names = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
    parts = {"attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
             "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm"}
    parts["ffn_norm"] = "pre_feedforward_layernorm" if gemma else "post_attention_layernorm"
    if gemma:
        parts |= {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_q_norm": "self_attn.q_norm",
                  "attn_k_norm": "self_attn.k_norm", "post_attention_norm": "post_attention_layernorm",
                  "post_ffw_norm": "post_feedforward_layernorm"}
    checked = 0
    for tensor in gguf.GGUFReader(file).tensors:
        name = tensor.name.removesuffix(".weight")
        if name.startswith("blk."):
            _, layer, part = name.split(".", 2)
            target = f"model.layers.{layer}.{parts[part]}" if part in parts else None
        else:
            target = names.get(name)
        if target is None:
            assert name.split(".")[-1] in ("attn_q", "attn_k"), f"unknown tensor {name}"  # Llama's rows are permuted
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if gemma and name.endswith("norm"):
            values = values - 1  # GGUF holds 1 + w
        error = np.abs(values - state[target + ".weight"].float().numpy()).max()
        assert error < 1e-6, f"{name}: {error}"
        checked += 1
    return checked


def exact_hidden(model, tokens):
    """Final normed hidden states; they times the head must be the model's own logits."""
    with torch.no_grad():
        hidden = model.model(torch.tensor([tokens])).last_hidden_state[0]
        logits = model(torch.tensor([tokens])).logits[0]
        error = (model.lm_head(hidden) - logits).abs().max().item()
    assert error < 1e-3, error
    return hidden.float().numpy()


def exact_perplexity(model, tokens, bos):
    """The same measure in float32: what llama.cpp's number would be without its rounding of activations."""
    losses = []
    for begin in range(0, len(tokens) - CONTEXT + 1, CONTEXT):
        chunk = tokens[begin : begin + CONTEXT]
        if bos is not None:
            chunk = [bos] + chunk[1:]
        with torch.no_grad():
            hidden = model.model(torch.tensor([chunk])).last_hidden_state[0, CONTEXT // 2 : CONTEXT - 1]
            for i in range(0, len(hidden), 64):  # Gemma's vocabulary is large
                wanted = torch.tensor(chunk[CONTEXT // 2 + 1 + i :][: len(hidden[i : i + 64])])
                losses.append(torch.nn.functional.cross_entropy(model.lm_head(hidden[i : i + 64]), wanted,
                                                                reduction="none"))
    return torch.cat(losses).double().mean().exp().item()


def llama_perplexity(program, file):
    command = [program, "-m", str(file), "-f", str(TEXTS / "prose.txt"), "-c", str(CONTEXT), "-t", "2", "-ngl", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    output = done.stdout + done.stderr
    found = re.search(r"Final estimate: PPL = ([0-9.]+) \+/- ([0-9.]+)", output)
    assert found, output[-2000:]
    shown = f"llama-perplexity -m {file.name} -f tests/data/texts/prose.txt -c {CONTEXT} -t 2 -ngl 0"
    return {"value": float(found[1]), "deviation": float(found[2]), "context": CONTEXT, "command": shown}


def llama_divergence(file, tokens, hidden):
    """Mean KL divergence of llama.cpp's own logits from the exact ones, and the share of equal top tokens."""
    import llama_cpp  # pip install llama-cpp-python

    llama = llama_cpp.Llama(str(file), n_ctx=CONTEXT, logits_all=True, n_gpu_layers=0, verbose=False)
    llama.eval(tokens)
    got = np.array(llama.scores[: len(tokens)])
    table = next(t for t in gguf.GGUFReader(file).tensors if t.name == "token_embd.weight")  # both heads are tied
    head = gguf.quants.dequantize(table.data, table.tensor_type)
    sums, same = [], 0
    for state, theirs in zip(hidden, got):
        exact = torch.tensor(head @ state).double()
        theirs = torch.tensor(theirs).double()
        p, q = exact.log_softmax(-1), theirs.log_softmax(-1)
        sums.append((p.exp() * (p - q)).sum().item())
        same += exact.argmax().item() == theirs.argmax().item()
    return {"mean_kl": float(np.mean(sums)), "top1": same / len(tokens)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama-perplexity", help="llama.cpp's program; without it the stored value is kept")
    parser.add_argument("--llama-divergence", action="store_true", help="measure llama.cpp's (llama-cpp-python) too")
    arguments = parser.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    for name, file in MODELS.items():
        old = json.loads((OUT / f"{name}.json").read_text()) if (OUT / f"{name}.json").exists() else {}
        tokenizer = load_tokenizer(file)
        mixed = tokenizer((TEXTS / "mixed.txt").read_text(encoding="utf-8"))["input_ids"]
        prose = tokenizer((TEXTS / "prose.txt").read_text(encoding="utf-8"))["input_ids"]
        assert len(mixed) >= TOKENS and len(prose) >= 4000, (len(mixed), len(prose))
        model = AutoModelForCausalLM.from_pretrained(ORACLE, gguf_file=file, dtype=torch.float32,
                                                     attn_implementation="eager").eval()
        checked = check_weights(model, ORACLE / file)
        hidden = exact_hidden(model, mixed[:TOKENS])
        np.save(OUT / f"{name}.npy", hidden)
        bos = tokenizer.bos_token_id if mixed[0] == tokenizer.bos_token_id else None
        exact = exact_perplexity(model, prose, bos)
        del model
        golden = {"text": "mixed.txt", "tokens": mixed[:TOKENS], "prose_tokens": prose,
                  "exact_perplexity": exact, "perplexity": old.get("perplexity"),
                  "llama_cpp": old.get("llama_cpp")}
        if arguments.llama_divergence:
            golden["llama_cpp"] = llama_divergence(ORACLE / file, mixed[:TOKENS], hidden)
        if arguments.llama_perplexity:
            golden["perplexity"] = llama_perplexity(arguments.llama_perplexity, ORACLE / file)
        (OUT / f"{name}.json").write_text(json.dumps(golden) + "\n", encoding="utf-8")
        print(f"{name}: {checked} tensors checked, {len(prose)} tokens of prose, perplexity {golden['perplexity']} exact {exact}")


if __name__ == "__main__":
    main()
