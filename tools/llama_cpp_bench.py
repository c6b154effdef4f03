#!/usr/bin/env python3
"""Stands in for llama-bench where only the llama-cpp-python package is installed: the same arguments, the same JSON.

    autoglm bench model.gguf --peer tools/llama_cpp_bench.py

Random tokens, one warm-up, one repetition; llama.cpp's defaults. Needs llama-cpp-python.
"""

import argparse
import ctypes
import json
import random
import sys
import time


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", required=True)
    parser.add_argument("-p", type=int, default=512)
    parser.add_argument("-n", type=int, default=64)
    parser.add_argument("-d", type=int, default=0)
    parser.add_argument("-t", type=int, default=2)
    parser.add_argument("-r", type=int, default=1)
    parser.add_argument("-o", default="json")
    arguments = parser.parse_args()
    try:
        import llama_cpp
    except ImportError:
        sys.exit("llama-cpp-python is not installed: pip install llama-cpp-python")

    @llama_cpp.llama_log_callback
    def silent(level, text, data):
        pass

    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(arguments.m.encode(), llama_cpp.llama_model_default_params())
    if not model:
        sys.exit(f"llama.cpp cannot load {arguments.m}")
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = arguments.d + max(arguments.p, arguments.n) + 16
    settings.n_batch = settings.n_ubatch = 512
    settings.n_threads = settings.n_threads_batch = arguments.t
    context = llama_cpp.llama_init_from_model(model, settings)
    words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    memory = llama_cpp.llama_get_memory(context)
    random.seed(1)

    def feed(count):
        tokens = (llama_cpp.llama_token * count)(*(random.randrange(words) for _ in range(count)))
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, count)) != 0:
            sys.exit("llama_decode failed")
        llama_cpp.llama_synchronize(context)

    def fill(count):
        for begin in range(0, count, 512):
            feed(min(512, count - begin))

    def timed(count, step):
        llama_cpp.llama_memory_clear(memory, True)
        fill(arguments.d)
        begin = time.perf_counter()
        if step == 1:
            for _ in range(count):
                feed(1)
        else:
            fill(count)
        return count / (time.perf_counter() - begin)

    rows = []
    for prompt, generated in ((arguments.p, 0), (0, arguments.n)):
        count, step = (prompt, 512) if prompt else (generated, 1)
        if count == 0:
            continue
        timed(min(count, 32), step)
        rates = [timed(count, step) for _ in range(arguments.r)]
        rows.append(
            {
                "n_prompt": prompt,
                "n_gen": generated,
                "avg_ts": sum(rates) / len(rates),
                "build_commit": f"llama-cpp-python {llama_cpp.__version__}",
            }
        )
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
