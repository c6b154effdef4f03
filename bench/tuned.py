"""Tuned against default: alternating pairs of `autoglm bench --workload` with and without what `autoglm tune` found.

    python3 bench/tuned.py MODEL [--workloads chat,rag,code,batch] [--pairs 30] [--requests 4] [--scale 0.5]
                           [--goal latency] [--time-budget 10m] [--autoglm build/bin/autoglm] [--cache-dir DIR]
                           [--json FILE]

Tunes first, unless what was found before still holds. A pair runs the same requests twice, each in a process of its own,
in changing order. Reported are the ratio default / tuned of the goal's cost (above 1: tuned is better), the
Hodges-Lehmann estimate with the 95 % interval of the signed-rank test. Exit code 1 if an interval's lower end is not above
0.98 where the tuner changed anything, or if an answer differs where the KV type is the same.
"""
import argparse
import json
import math
import subprocess
import sys


def run(arguments: list[str]) -> dict:
    return json.loads(subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout)


def cost(figures: dict, goal: str) -> float:
    return figures["end_to_end_ms"]["p50"] if goal == "latency" else 1e3 / figures["throughput_tps"]


def interval(logs: list[float]) -> tuple[float, float, float]:
    """Median of the means of all two, and the 95 % interval of the signed-rank test (normal approximation)."""
    n = len(logs)
    means = sorted((logs[i] + logs[j]) / 2 for i in range(n) for j in range(i, n))
    middle = (means[(len(means) - 1) // 2] + means[len(means) // 2]) / 2
    outside = n * (n + 1) / 4 - 1.959964 * math.sqrt(n * (n + 1) * (2 * n + 1) / 24)
    if outside < 0:
        return math.exp(middle), 0.0, math.inf
    at = int(outside)
    return math.exp(middle), math.exp(means[at]), math.exp(means[-1 - at])


def measure(args, workload: str) -> dict:
    common = ["--workload", workload, "--json", "--quiet"]
    if args.cache_dir:
        common += ["--cache-dir", args.cache_dir]
    tuned = run([args.autoglm, "tune", args.model, *common, "--no-kernels", "--goal", args.goal,
                 "--time-budget", args.time_budget])
    print(f"{workload}: {tuned['settings'] or 'the defaults'}", file=sys.stderr)
    bench = [args.autoglm, "bench", args.model, *common, "--no-probe", "--requests", str(args.requests),
             "--scale", str(args.scale)]
    logs, same, kinds = [], True, set()
    for pair in range(args.pairs):
        sides = {}
        for side in ("none", workload) if pair % 2 == 0 else (workload, "none"):
            sides[side] = run([*bench, "--tuned", side])
        logs.append(math.log(cost(sides["none"], args.goal) / cost(sides[workload], args.goal)))
        kinds |= {figures["kv_type"] for figures in sides.values()}
        same = same and sides["none"]["answers_hash"] == sides[workload]["answers_hash"]
    ratio, low, high = interval(logs)
    ok = (low > 0.98 or not tuned["settings"]) and (same or len(kinds) > 1)
    noise = "" if tuned["settings"] else ": the defaults on both sides, so this is the noise"
    print(f"{workload:<6} {ratio:.3f}x ({low:.3f} to {high:.3f}), {args.pairs} pairs, tuner said {tuned['gain']:.3f}x"
          f"{noise if ok else '  FAILED'}", flush=True)
    return {"workload": workload, "ratio": ratio, "low": low, "high": high, "pairs": args.pairs, "same_answers": same,
            "settings": tuned["settings"], "gain": tuned["gain"], "ok": ok}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--workloads", default="chat,rag,code,batch")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--requests", type=int, default=4)
    parser.add_argument("--scale", type=float, default=0.5)
    parser.add_argument("--goal", choices=["latency", "throughput"], default="latency")
    parser.add_argument("--time-budget", default="10m")
    parser.add_argument("--autoglm", default="build/bin/autoglm")
    parser.add_argument("--cache-dir")
    parser.add_argument("--json", dest="out")
    args = parser.parse_args()
    results = [measure(args, workload) for workload in args.workloads.split(",")]
    if args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)
    return 0 if all(result["ok"] for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
