#!/usr/bin/env python3
"""Compares this program's token ids, template bytes and logits with Hugging Face transformers: `autoglm selftest`.

Reads on stdin what the program computed:
    {"model": path, "texts": [{"text", "ids"}], "chats": [{"name", "messages", "variables", "text"}],
     "logits": {"tokens": [...], "rows": [[...]], "precision": "f32"}}
and prints [{"name", "ok", "detail"}]. Needs transformers and torch (for a GGUF file also gguf and accelerate).
"""

import json
import math
import os
import sys


def load_arguments(path):
    """Keyword arguments that name the model for from_pretrained."""
    if os.path.isdir(path):
        return path, {}
    return os.path.dirname(os.path.abspath(path)) or ".", {"gguf_file": os.path.basename(path)}


def check_ids(tokenizer, texts):
    wrong = []
    for case in texts:
        theirs = tokenizer.encode(case["text"], add_special_tokens=False)
        if theirs != case["ids"]:
            wrong.append(f"{case['text']!r}: ours {case['ids'][:12]}, theirs {theirs[:12]}")
    detail = f"{len(texts) - len(wrong)} of {len(texts)} texts equal" + (": " + "; ".join(wrong[:3]) if wrong else "")
    return {"name": "token ids", "ok": not wrong, "detail": detail}


def check_templates(tokenizer, chats):
    if tokenizer.chat_template is None:
        return {"name": "chat template", "ok": True, "detail": "the model has none: the built-in one is used"}
    wrong = []
    for chat in chats:
        try:
            theirs = tokenizer.apply_chat_template(
                chat["messages"], tokenize=False, add_generation_prompt=True, **chat["variables"]
            )
        except Exception as error:  # noqa: BLE001 - a template may refuse a conversation; then both must
            theirs = None
            reason = str(error)
        if theirs != chat["text"]:
            wrong.append(chat["name"] + (f" (theirs refuses: {reason[:80]})" if theirs is None else ""))
    detail = f"{len(chats) - len(wrong)} of {len(chats)} conversations equal" + (": " + ", ".join(wrong) if wrong else "")
    return {"name": "chat template", "ok": not wrong, "detail": detail}


def check_logits(path, extra, given):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, **extra).eval()
    with torch.no_grad():
        theirs = model(torch.tensor([given["tokens"]])).logits[0].double()
    ours = torch.tensor(given["rows"], dtype=torch.float64)
    theirs = theirs[:, : ours.shape[1]]
    divergence = (theirs.log_softmax(-1).exp() * (theirs.log_softmax(-1) - ours.log_softmax(-1))).sum(-1)
    same_top = (theirs.argmax(-1) == ours.argmax(-1)).double().mean().item()
    error = ((ours - theirs).abs().max() / theirs.std()).item()
    mean = divergence.mean().item()
    ok = math.isfinite(mean) and mean < 1e-4
    detail = (
        f"mean KL divergence {mean:.2e}, same best token {100 * same_top:.1f} %, "
        f"largest error {error:.1e} of the deviation, {len(given['tokens'])} positions ({given['precision']})"
    )
    return {"name": "logits", "ok": ok, "detail": detail}


def main():
    given = json.load(sys.stdin)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        import torch  # noqa: F401
        from transformers import AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
    except ImportError as error:
        sys.exit(f"missing: {error}")
    path, extra = load_arguments(given["model"])
    checks = []

    def attempt(name, function):
        try:
            checks.append(function())
        except Exception as error:  # noqa: BLE001 - whatever transformers raises is the finding
            checks.append({"name": name, "ok": False, "detail": f"transformers failed: {error}"[:400]})

    if given["texts"]:
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, **extra)
        except Exception as error:  # noqa: BLE001
            checks.append({"name": "token ids", "ok": False, "detail": f"transformers failed: {error}"[:400]})
        else:
            attempt("token ids", lambda: check_ids(tokenizer, given["texts"]))
            attempt("chat template", lambda: check_templates(tokenizer, given["chats"]))
    attempt("logits", lambda: check_logits(path, extra, given["logits"]))
    print(json.dumps(checks))


if __name__ == "__main__":
    main()
