"""What speculation gains: alternating pairs of `autoglm run` with and without it, on prose and on text that repeats.

    python3 bench/speculation.py MODEL [--pairs 30] [--tokens 160] [--autoglm build/bin/autoglm] [--json FILE]

A pair answers one prompt twice with one seed, in changing order; answers must be the same token for token. Reported are
the geometric mean of the ratios of decoding speed (on / off) and its 95 % interval (Student's t over log ratios). Exit
code 1 if an answer differs, or an interval's lower end is below the gate: 0.97 on prose, 1.6 on repeating text.
"""
import argparse
import json
import math
import statistics
import subprocess
import sys

PROSE = [
    "Write a long story about a lighthouse keeper who finds a letter.",
    "Explain how bread is made, in your own words and in detail.",
    "Describe a walk through an old harbour town on a rainy morning.",
    "What should a young gardener know about soil, water and light?",
    "Tell the life of a river from the spring to the sea.",
]
CODE = '''def summarize(orders, customers, currency="EUR"):
    total = 0
    by_customer = {}
    for order in orders:
        if order.state == "cancelled":
            continue
        amount = order.quantity * order.price
        total += amount
        by_customer.setdefault(order.customer_id, 0)
        by_customer[order.customer_id] += amount
    lines = []
    for customer_id, amount in sorted(by_customer.items()):
        name = customers[customer_id].name
        lines.append(f"{name}: {amount:.2f} {currency}")
    lines.append(f"total: {total:.2f} {currency}")
    return "\\n".join(lines)


def check(orders, customers):
    errors = []
    for order in orders:
        if order.customer_id not in customers:
            errors.append(f"order {order.number}: no customer {order.customer_id}")
        if order.quantity <= 0:
            errors.append(f"order {order.number}: quantity {order.quantity}")
        if order.price < 0:
            errors.append(f"order {order.number}: price {order.price}")
    return errors
'''
# The edit as a continuation, so that models of every size and template do it: the file, then the same file with a name
# changed, of which the first lines are given.
EDIT = "# orders.py, before:\n{code}\n# orders.py, after renaming `{old}` to `{new}`:\n{start}"
RENAMES = [("errors", "problems"), ("lines", "rows"), ("total", "whole"), ("orders", "sales"), ("amount", "value")]


def edit_prompt(number: int) -> str:
    old, new = RENAMES[number % len(RENAMES)]
    start = "\n".join(CODE.split("\n")[: 3 + number // len(RENAMES)]).replace(old, new) + "\n"
    return EDIT.format(code=CODE, old=old, new=new, start=start)


def answer(args, kind: str, number: int, mode: str) -> dict:
    command = [args.autoglm, "run", args.model, "--json", "--speculation", mode, "-n", str(args.tokens), "--seed",
               str(number + 1), "--ignore-eos"]
    if kind == "prose":
        command += [PROSE[number % len(PROSE)], "--temp", "0.8"]
    else:
        command += [edit_prompt(number), "--raw", "--temp", "0"]
    if args.threads:
        command += ["--threads", str(args.threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stdout + done.stderr)
    return json.loads(done.stdout)


def interval(ratios: list[float]) -> tuple[float, float, float]:
    """Geometric mean and its 95 % interval."""
    logs = [math.log(ratio) for ratio in ratios]
    middle = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(middle), 0.0, math.inf
    n = len(logs) - 1
    # Student's t at 97.5 %: Cornish-Fisher expansion around the normal quantile, within 0.5 % from 4 degrees on.
    z = 1.959964
    t = z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
    half = t * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--tokens", type=int, default=160)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--autoglm", default="build/bin/autoglm")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    report, failed = {"model": args.model, "pairs": args.pairs, "tokens": args.tokens}, False
    for kind, gate in (("prose", 0.97), ("repeating", 1.6)):
        ratios, drafted, accepted, off_tps = [], 0, 0, []
        for number in range(args.pairs):
            modes = ("auto", "off") if number % 2 else ("off", "auto")
            pair = {mode: answer(args, kind, number, mode) for mode in modes}
            if pair["auto"]["token_ids"] != pair["off"]["token_ids"]:
                print(f"{kind} {number}: the answers differ")
                failed = True
            speeds = {mode: pair[mode]["timings"]["decode_tps"] for mode in modes}
            ratios.append(speeds["auto"] / speeds["off"])
            off_tps.append(speeds["off"])
            drafted += pair["auto"]["speculation"]["drafted_tokens"]
            accepted += pair["auto"]["speculation"]["accepted_tokens"]
        mean, low, high = interval(ratios)
        failed = failed or low < gate
        report[kind] = {"ratio": mean, "low": low, "high": high, "gate": gate, "ratios": ratios,
                        "off_tps": statistics.median(off_tps), "drafted_tokens": drafted, "accepted_tokens": accepted}
        print(f"{kind:<10} {mean:.3f}x of off, 95 % interval {low:.3f} to {high:.3f} (gate {gate}); "
              f"off {statistics.median(off_tps):.1f} tok/s, {accepted} of {drafted} drafted tokens accepted")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(report, file, indent=1)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
