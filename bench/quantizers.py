#!/usr/bin/env python3
"""Our quantizer beside llama.cpp's, at equal bytes, judged by llama.cpp.

    python3 bench/quantizers.py [--only smollm2] [--sizes Q4_K_M,Q5_K_M] [--windows 60] [--out bench/results]

From nothing: fetches the models and the book (tools/make_reference_model.py, tools/make_quality_texts.py), builds
llama.cpp's tools once below build/peers, quantizes both reference models with its quantizer (importance matrix) and
with ours, and lets llama-perplexity compare every file with the reference on text that neither has seen. Both read
the same calibration text. Ours gets the bytes of the peer's file and no more.

Writes quantizers.json and quantizers.md. Files that were judged before are not judged again (build/quality).
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time

import peers

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORK = ROOT / "build" / "quality"
REFERENCE = ROOT / "build" / "reference"
TEXTS = ROOT / "build" / "texts"
BINARY = ROOT / "build" / "bin" / "autoglm"
SIZES = {"smollm2": ["Q4_0", "IQ4_NL", "Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M"], "gemma3": ["Q4_0", "Q4_K_M"]}
TITLES = {"smollm2": "SmolLM2-135M", "gemma3": "Gemma-3-270M"}
WINDOW = 512  # tokens, of calibration and of evaluation
JUDGED = 16  # windows
TOOLS = ["llama-imatrix", "llama-quantize", "llama-perplexity"]


def spread(text, pieces, size):
    """Pieces of about `size` characters, whole lines, evenly over the text: all chapters have a part in it."""
    lines = text.split("\n")
    starts, at = [], 0
    for line in lines:
        starts.append(at)
        at += len(line) + 1
    out, line = [], 0
    for piece in range(pieces):
        while line < len(lines) and starts[line] < piece * at // pieces:
            line += 1
        length = 0
        while line < len(lines) and length < size:
            out.append(lines[line])
            length += len(lines[line]) + 1
            line += 1
        out.append("")
    return "\n".join(out)


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def run(command, log):
    """Runs to the end with all output in a log; its text."""
    with open(log, "w") as out:
        code = subprocess.run([str(c) for c in command], stdout=out, stderr=subprocess.STDOUT).returncode
    text = pathlib.Path(log).read_text(errors="replace")
    if code != 0:
        tail = "\n".join(text.splitlines()[-5:])
        sys.exit(f"{pathlib.Path(str(command[0])).name} ended with {code} ({log}):\n{tail}")
    return text


def llama_tools():
    """Where llama.cpp's programs are, built without AMX (some virtual machines crash in it)."""
    folder = peers.PEERS / "llama-tools"
    for tool in TOOLS:
        if not (folder / "bin" / tool).exists():
            peers.build_llama(folder, peers.options_without_amx(), tool)
    return folder / "bin"


def texts():
    """Calibration and evaluation text: parts of all odd and of all even chapters."""
    if not (TEXTS / "evaluation-en.txt").exists():
        subprocess.run([sys.executable, ROOT / "tools" / "make_quality_texts.py"], check=True)
    WORK.mkdir(parents=True, exist_ok=True)
    for name, pieces, size in (("calibration", 20, 7800), ("evaluation", 8, 5600)):
        (WORK / f"{name}.txt").write_text(spread((TEXTS / f"{name}-en.txt").read_text(), pieces, size))
    return WORK / "calibration.txt", WORK / "evaluation.txt"


class Model:
    """A reference model, and what all judgements of files made from it share."""

    def __init__(self, name, tools, calibration, evaluation, options):
        self.name, self.tools, self.options = name, tools, options
        self.calibration, self.evaluation = calibration, evaluation
        self.source = REFERENCE / name
        self.gguf = WORK / f"{name}-bf16.gguf"
        self.logits = WORK / f"{name}.logits"
        if not (self.source / "model.safetensors").exists():
            subprocess.run([sys.executable, ROOT / "tools" / "make_reference_model.py", name], check=True)
        if not self.gguf.exists():
            run([BINARY, "convert", self.source, self.gguf, "--type", "bf16"], WORK / f"{name}-convert.log")
        self.judged = WORK / f"{name}-judged.json"
        self.known = json.loads(self.judged.read_text()) if self.judged.exists() else {}
        self.model_hash = sha256(self.gguf)

    def perplexity(self, model, extra, log):
        command = [self.tools / "llama-perplexity", "-m", model, "-f", self.evaluation, "-c", WINDOW]
        return run(command + ["--chunks", JUDGED, "--kl-divergence-base", self.logits] + extra, log)

    def base(self):
        """The reference's own logits, once."""
        log = WORK / f"{self.name}-base.log"
        if not self.logits.exists():
            part = self.logits
            try:
                self.perplexity(self.gguf, [], log)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        return float(re.search(r"Final estimate: PPL = ([\d.]+)", log.read_text())[1])

    def judge(self, path):
        """What llama-perplexity says of a file against the reference."""
        key = hashlib.sha256((sha256(path) + self.model_hash + sha256(self.evaluation)).encode()).hexdigest()
        if key not in self.known:
            self.base()
            text = self.perplexity(path, ["--kl-divergence"], WORK / f"{path.stem}-judged.log")
            find = lambda pattern: float(re.search(pattern, text)[1])
            self.known[key] = {
                "perplexity": find(r"Mean PPL\(Q\)\s*:\s*([\d.]+)"),
                "reference_perplexity": find(r"Mean PPL\(base\)\s*:\s*([\d.]+)"),
                "mean_kld": find(r"Mean\s+KLD:\s*([\d.]+)"),
                "p99_kld": find(r"99\.0%\s+KLD:\s*([\d.]+)"),
                "same_top": find(r"Same top p:\s*([\d.]+)"),
            }
            self.judged.write_text(json.dumps(self.known, indent=1) + "\n")
        return dict(self.known[key])

    def peer(self, kind):
        matrix = WORK / f"{self.name}.imatrix.gguf"
        if not matrix.exists():
            part = matrix.with_suffix(".part.gguf")
            command = [self.tools / "llama-imatrix", "-m", self.gguf, "-f", self.calibration, "-c", WINDOW]
            run(command + ["--chunks", self.options.windows, "-o", part], WORK / f"{self.name}-imatrix.log")
            part.rename(matrix)
        out = WORK / f"{self.name}-peer-{kind}.gguf"
        if not out.exists():
            part = out.with_suffix(".part")
            command = [self.tools / "llama-quantize", "--imatrix", matrix, self.gguf, part, kind]
            run(command, WORK / f"{out.stem}-quantize.log")
            part.rename(out)
        return {"file_bytes": out.stat().st_size} | self.judge(out)

    def ours(self, kind, most):
        out = WORK / f"{self.name}-ours-{kind}.gguf"
        seconds = None
        if not out.exists():
            begin = time.monotonic()
            command = [BINARY, "quantize", self.source, out, "--max-bytes", most, "--calib", self.calibration]
            command += ["--windows", self.options.windows, "--costs", WORK / f"{self.name}.costs.json"]
            run(command, WORK / f"{out.stem}-quantize.log")
            seconds = round(time.monotonic() - begin, 1)
        row = {"file_bytes": out.stat().st_size} | self.judge(out)
        return row | ({"seconds": seconds} if seconds else {})


def row_of(model, kind, best):
    """One size: both files, and the peer's best of at most as many bytes."""
    peer = model.peer(kind)
    rows = best + [(kind, peer)]
    fits = [(k, r) for k, r in rows if r["file_bytes"] <= peer["file_bytes"]]
    name, strongest = min(fits, key=lambda item: item[1]["mean_kld"])
    ours = model.ours(kind, peer["file_bytes"])
    return rows, {
        "size_of": kind,
        "peer": peer,
        "ours": ours,
        "best_peer": name,
        "kld_ratio": round(ours["mean_kld"] / strongest["mean_kld"], 3),
        "perplexity_below": ours["perplexity"] < strongest["perplexity"],
        "bytes_ratio": round(ours["file_bytes"] / peer["file_bytes"], 5),
    }


def table(results):
    lines = []
    for result in results["models"]:
        lines += [f"**{result['title']}**, reference perplexity {result['reference_perplexity']:.2f}", ""]
        lines += ["| bytes of llama.cpp's | MB, theirs and ours | mean KLD, theirs | ours | of the best at those bytes | "
                  "perplexity, theirs | ours | same top token, theirs | ours |", "|---|---|---|---|---|---|---|---|---|"]
        for row in result["rows"]:
            peer, ours = row["peer"], row["ours"]
            lines.append(
                f"| {row['size_of']} | {peer['file_bytes'] / 1e6:.1f}, {ours['file_bytes'] / 1e6:.1f} | "
                f"{peer['mean_kld']:.4f} | {ours['mean_kld']:.4f} | {row['kld_ratio']:.2f}x ({row['best_peer']}) | "
                f"{peer['perplexity']:.2f} | {ours['perplexity']:.2f} | "
                f"{peer['same_top']:.1f} % | {ours['same_top']:.1f} % |")
        lines.append("")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", choices=list(SIZES), help="one of the models")
    parser.add_argument("--sizes", default="", help="some of the sizes: Q4_0,Q4_K_M")
    parser.add_argument("--windows", type=int, default=60, help="of the calibration text, for both")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "bench" / "results")
    options = parser.parse_args()
    wanted = [s for s in options.sizes.split(",") if s]
    with peers.alone():
        tools = llama_tools()
        calibration, evaluation = texts()
    results = {"windows": options.windows, "window": WINDOW, "judged_windows": JUDGED, "peer": peers.LLAMA_PACKAGE,
               "calibration_sha256": sha256(calibration), "evaluation_sha256": sha256(evaluation), "models": []}
    for name in [options.only] if options.only else list(SIZES):
        model = Model(name, tools, calibration, evaluation, options)
        entry = {"name": name, "title": TITLES[name], "sha256": model.model_hash, "rows": []}
        best = []
        for kind in SIZES[name]:
            if wanted and kind not in wanted:
                continue
            best, row = row_of(model, kind, best)
            entry["rows"].append(row)
            peers.say(f"{name} {kind}: KLD {row['ours']['mean_kld']} against {row['peer']['mean_kld']}, "
                      f"{row['kld_ratio']}x of the best")
        entry["reference_perplexity"] = entry["rows"][0]["ours"]["reference_perplexity"]
        results["models"].append(entry)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "quantizers.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.out / "quantizers.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
