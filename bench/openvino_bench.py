#!/usr/bin/env python3
"""OpenVINO GenAI on a GGUF file, one round a line: loads once (that takes seconds), then measures when told to.

    python openvino_bench.py MODEL.gguf --threads 2 --prompt 512 --gen 64

Prints {"ready": true, "version", "load_ms"}, then for every line on standard input one JSON object with prefill_tps and
decode_tps. Random tokens, so that no prefix is found again. Needs the package openvino-genai (bench/peers.py installs
it).
"""

import argparse
import json
import os
import random
import sys
import time


def answer(stream, **fields):
    stream.write(json.dumps(fields) + "\n")
    stream.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--gen", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()

    # The libraries print to standard output as they like; answers keep a descriptor of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import numpy
    import openvino
    import openvino_genai

    begin = time.perf_counter()
    pipeline = openvino_genai.LLMPipeline(arguments.model, "CPU", INFERENCE_NUM_THREADS=arguments.threads)
    load_ms = (time.perf_counter() - begin) * 1e3
    version = f"{openvino_genai.__version__}"
    # Every vocabulary has more than 200 tokens; which ones they are does not change the work.
    chosen = random.Random(1)

    def generate(prompt, gen):
        ids = numpy.array([[chosen.randrange(200) for _ in range(prompt)]], dtype=numpy.int64)
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(numpy.ones_like(ids)))
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = config.min_new_tokens = gen
        config.ignore_eos = True
        config.do_sample = False
        return pipeline.generate(inputs, config).perf_metrics

    def measure():
        result = {}
        if arguments.prompt > 0:
            result["prefill_tps"] = arguments.prompt / generate(arguments.prompt, 1).get_ttft().mean * 1e3
        if arguments.gen > 0:
            # As llama-bench does: from an empty context. The first token is not counted.
            result["decode_tps"] = 1e3 / generate(1, arguments.gen + 1).get_tpot().mean
        return result

    measure()  # warm-up
    answer(answers, ready=True, version=version, load_ms=load_ms)
    for _ in sys.stdin:
        answer(answers, **measure())


if __name__ == "__main__":
    main()
