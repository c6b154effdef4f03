#!/usr/bin/env python3
"""`make bench`: our speed and that of other engines on the same files, in alternating rounds, with the machine's roofs.

    python3 bench/compare.py                         # everything: about half an hour on two cores
    python3 bench/compare.py --only smollm2 --reps 3 # one model, some minutes
    python3 bench/compare.py --only 1.45b --prompt 128 --gen 16 --reps 2 --llama-bench ~/llama.cpp/build/bin/llama-bench
    python3 bench/compare.py --isa avx2              # our kernels for AVX2 beside llama.cpp built for AVX2

A round is ours, then each peer; a figure is the median of its rounds, a ratio the median of the rounds' ratios. Peers are
set up once below build/peers, random models are written there once (the 9 B one takes 5.6 GB). Writes bench.json, bench.md
and bench.svg to bench/results. Needs the built program (make build) and what tools/setup.sh bench installs.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace

import peers
import report

ROOT = peers.ROOT
ORACLE = ROOT / "build" / "oracle"
MODELS = peers.PEERS / "models"


@dataclass
class Work:
    prompt: int = 512
    gen: int = 64
    depth: int = 0
    threads: int = 0


@dataclass
class Subject:
    name: str
    file: pathlib.Path
    shape: str = ""  # of random weights; empty: a real model
    type: str = ""
    work: Work | None = None


def random_subject(name, shape, kind, work=None):
    return Subject(name, MODELS / f"{shape}-{kind}.gguf", shape, kind, work or Work())


def subjects():
    return [
        Subject("SmolLM2-135M Q4_1", ORACLE / "smollm2-135m-q4_1.gguf", work=Work()),
        Subject("Gemma-3-270M Q4_K_M", ORACLE / "gemma3-270m-q4_k_m.gguf", work=Work()),
        random_subject("1.45B Q4_0 (random)", "llama-1.45b", "Q4_0"),
        random_subject("1.45B Q4_K_M (random)", "llama-1.45b", "Q4_K_M"),
        random_subject("1.45B Q8_0 (random)", "llama-1.45b", "Q8_0"),
        random_subject("GLM-4-9B Q4_0 (random)", "glm4-9b", "Q4_0", Work(prompt=256, gen=16)),
    ]


def prepare(subject, autoglm):
    """The file, written if it is a random model that is missing or older than its recipe."""
    recipe = ROOT / "bench" / "shapes.yaml"
    file = subject.file
    if subject.shape and (not file.exists() or file.stat().st_mtime < recipe.stat().st_mtime):
        MODELS.mkdir(parents=True, exist_ok=True)
        peers.say(f"writing {file}")
        peers.run([autoglm, "bench", "--shape", subject.shape, "--type", subject.type, "--write", str(file), "--quiet"])
    if not file.exists():
        raise peers.Unavailable(f"{file} is missing: run tools/fetch_test_data.sh")


def ours(autoglm, subject, work, isa):
    command = [autoglm, "bench", str(subject.file), "--prompt", str(work.prompt), "--gen", str(work.gen), "--json"]
    command += ["--depth", str(work.depth), "--threads", str(work.threads), "--reps", "1", "--quiet"]
    command += ["--isa", isa] if isa else []
    return json.loads(peers.run(command, timeout=peers.ROUND_LIMIT_S))


def open_peers(engines, subject, work, row):
    runs = {}
    for engine in engines:
        try:
            runs[engine.name] = engine.open(subject.file, work)
        except peers.Unavailable as error:
            row["peers"][engine.name] = {"note": f"does not run this file: {error}"}
            peers.say(f"{engine.name}: {row['peers'][engine.name]['note']}")
    return runs


def measure(autoglm, subject, work, engines, reps, isa):
    row = {"model": subject.name, "file_bytes": subject.file.stat().st_size, **asdict(work), "rounds": [], "peers": {}}
    runs = open_peers(engines, subject, work, row)
    try:
        for number in range(reps):
            peers.say(f"{subject.name}: round {number + 1} of {reps}")
            entry = {"ours": ours(autoglm, subject, work, isa)}
            for name in list(runs):
                try:
                    entry[name] = runs[name].round()
                except (peers.Unavailable, subprocess.TimeoutExpired) as error:
                    row["peers"][name] = {"note": f"failed: {error}"}
                    runs.pop(name).close()
            row["rounds"].append(entry)
    finally:
        for run in runs.values():
            run.close()
    return summarize(row, runs)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)} if values else None


def shares(row, name, key):
    """A figure as a share of the roof that was probed in its round: the operations and file bytes a token are the same
    for every engine; ours also reads what packing added, so that its share is of what it really reads."""
    out = []
    for entry in row["rounds"]:
        own, figure = entry["ours"], entry.get(name, {}).get(key)
        share = own["prefill_roof_share" if key == "prefill_tps" else "decode_roof_share"]
        if figure is None or share is None:
            continue
        if name == "ours":
            out.append(share)
        elif key == "prefill_tps":
            out.append(share * figure / own[key])
        else:
            bytes_a_token = own["step_file_bytes"] + own["step_kv_bytes"]
            out.append(figure * bytes_a_token / 1e9 / own["read_gbps"])
    return spread(out)


def summarize(row, runs):
    for name in ["ours"] + list(runs):
        result = {}
        for key in ("prefill_tps", "decode_tps"):
            values = [entry[name][key] for entry in row["rounds"] if entry.get(name, {}).get(key) is not None]
            result[key] = spread(values)
            result[key.replace("_tps", "_roof_share")] = shares(row, name, key)
            if name != "ours":
                pairs = [
                    entry["ours"][key] / entry[name][key]
                    for entry in row["rounds"]
                    if entry.get(name, {}).get(key) and entry["ours"].get(key)
                ]
                result[key.replace("_tps", "_ratio")] = spread(pairs)
        if name == "ours":
            row["ours"] = result
            for key in ("int8_gops", "read_gbps"):
                row[key] = spread([entry["ours"][key] for entry in row["rounds"]])
            for key in ("weight_pages", "kv_type", "isa", "logits_hash", "prefill_roof"):
                row[key] = row["rounds"][-1]["ours"][key]
        else:
            if hasattr(runs[name], "load_ms"):
                result["load_ms"] = runs[name].load_ms
            row["peers"][name] = result
    return row


def make_engines(arguments, trial_model):
    engines, notes = [], {}

    def add(name, make):
        try:
            engines.append(make())
            notes[name] = engines[-1].version
        except (peers.Unavailable, OSError) as error:
            notes[name] = f"not available: {error}"
            peers.say(f"{name} is {notes[name]}")

    if arguments.llama_bench:
        add("llama.cpp", lambda: peers.Llama(arguments.llama_bench, f"as given: {arguments.llama_bench.name}"))
    elif arguments.isa and not arguments.no_llama:
        add("llama.cpp", lambda: peers.Llama(*peers.llama_bench_of(arguments.isa)))
    elif not arguments.no_llama:
        add("llama.cpp", lambda: peers.Llama(*peers.llama_bench(trial_model)))
    if not arguments.no_openvino and not arguments.isa:  # it chooses its own kernels
        add("OpenVINO", peers.OpenVino)
    return engines, notes


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="models whose name has this word")
    parser.add_argument("--reps", type=int, default=5, help="rounds (5)")
    parser.add_argument("--prompt", type=int, help="prompt tokens (512; 256 for GLM-4-9B)")
    parser.add_argument("--gen", type=int, help="decode steps (64; 16 for GLM-4-9B)")
    parser.add_argument("--depth", type=int, default=0, help="tokens in the cache before either")
    parser.add_argument("--threads", type=int, help="for all engines (what autoglm takes by itself)")
    parser.add_argument("--isa", choices=sorted(peers.SAME_ISA), help="our kernels, and llama.cpp built, for no more")
    parser.add_argument("--autoglm", type=pathlib.Path, default=ROOT / "build" / "bin" / "autoglm")
    parser.add_argument("--llama-bench", type=pathlib.Path, metavar="PATH", help="an existing one, instead of building")
    parser.add_argument("--no-llama", action="store_true")
    parser.add_argument("--no-openvino", action="store_true")
    parser.add_argument("--setup-only", action="store_true", help="set up the peers and write the models")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench" / "results")
    return parser.parse_args()


def main():
    arguments = parse()
    words = [word.lower() for word in arguments.only]
    chosen = [s for s in subjects() if not words or any(word in s.name.lower() for word in words)]
    if not chosen:
        sys.exit("bench: --only matches none of: " + ", ".join(s.name for s in subjects()))
    if arguments.reps < 1:
        sys.exit("bench: --reps is at least 1")
    autoglm = str(arguments.autoglm)
    threads = arguments.threads or json.loads(peers.run([autoglm, "hw", "--no-probe", "--json"]))["threads"]
    with peers.alone():
        engines, notes = make_engines(arguments, ORACLE / "smollm2-135m-q4_1.gguf")
    result = {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": peers.machine(autoglm) | ({"isa": arguments.isa} if arguments.isa else {}),
        "threads": threads,
        "peers": notes,
        "rows": [],
    }
    for subject in chosen:
        overrides = {key: value for key, value in (("prompt", arguments.prompt), ("gen", arguments.gen)) if value}
        work = replace(subject.work, threads=threads, depth=arguments.depth, **overrides)
        try:
            with peers.alone():
                prepare(subject, autoglm)
            if not arguments.setup_only:
                result["rows"].append(measure(autoglm, subject, work, engines, arguments.reps, arguments.isa))
        except (peers.Unavailable, subprocess.TimeoutExpired) as error:
            sys.exit(f"bench: {subject.name}: {error}")
        if result["rows"]:  # after each model, so that an interrupted run leaves what it has
            report.write(result, arguments.out)
    if result["rows"]:
        print(report.markdown(result))
        peers.say(f"written to {arguments.out}")


if __name__ == "__main__":
    main()
