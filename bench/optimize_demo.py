#!/usr/bin/env python3
"""`autoglm optimize` on the SmolLM2 reference model, from nothing: the figures of docs/OPTIMIZE.md.

    python3 bench/optimize_demo.py [--out build/optimize-demo] [--time-budget 10m] [more flags of optimize]

Makes the full-precision reference model and the texts if they are not there (tools/make_reference_model.py,
tools/make_quality_texts.py), runs `optimize --goal latency --max-kld 0.05` with the chat workload, and says how far
time and memory went down. Exit code 1 if quality is not within the limit.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "build/reference/smollm2"
TEXTS = ROOT / "build/texts"
MAX_KLD = 0.05


def ensure(path, script, *arguments):
    if not path.exists():
        subprocess.run([sys.executable, ROOT / "tools" / script, *arguments], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/optimize-demo")
    parser.add_argument("--time-budget", default="10m")
    parser.add_argument("--autoglm", default=ROOT / "build/bin/autoglm")
    known, more = parser.parse_known_args()
    ensure(MODEL / "model.safetensors", "make_reference_model.py", "smollm2")
    ensure(TEXTS / "evaluation-en.txt", "make_quality_texts.py")
    shutil.rmtree(known.out, ignore_errors=True)
    known.out.parent.mkdir(parents=True, exist_ok=True)
    command = [
        known.autoglm, "optimize", MODEL, "-o", known.out, "--goal", "latency", "--workload", "chat",
        "--max-kld", str(MAX_KLD), "--time-budget", known.time_budget, "--calib", TEXTS / "calibration-en.txt",
        "--text", TEXTS / "evaluation-en.txt", *more,
    ]
    code = subprocess.run(command).returncode
    if code != 0 or "--dry-run" in more:
        return code
    report = json.loads((known.out / "report.json").read_text())
    before, after = report["before"], report["after"]
    for name, key in (("end to end, p50", lambda side: side["end_to_end_ms"]["p50"]),
                      ("peak memory", lambda side: side["peak_rss_bytes"]), ("file", lambda side: side["file_bytes"])):
        print(f"{name}: {100 * (1 - key(after) / key(before)):.1f} % less")
    print(f"mean KL divergence {after['kld_mean']:.4f}, at most {MAX_KLD}")
    return 0 if after["kld_mean"] <= MAX_KLD else 1


if __name__ == "__main__":
    sys.exit(main())
