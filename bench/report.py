"""The results of bench/compare.py as JSON, as a Markdown table and as a plot (SVG, made here)."""

import html
import json

COLOURS = {"ours": "#1f6feb", "llama.cpp": "#9aa4af", "OpenVINO": "#d9a441"}


def rate(figure):
    if not figure:
        return "-"
    digits = 0 if figure["median"] >= 100 else 1
    return f"{figure['median']:,.{digits}f} ({figure['min']:,.{digits}f} to {figure['max']:,.{digits}f})"


def percent(figure):
    if not figure:
        return "-"
    value = 100 * figure["median"]
    return f"{value:.{0 if value >= 10 else 1}f} %"


def ratio(figure):
    return f"{figure['median']:.2f}x" if figure else "-"


def engine_names(result):
    names = []
    for row in result["rows"]:
        names += [name for name in row["peers"] if name not in names]
    return names


def facts(result):
    m = result["machine"]
    lines = [
        f"{result['date']}, {m['cpu']}, {m['cores']} cores, {result['threads']} threads, kernels {m['isa']}, "
        f"governor: {m['governor']}, load average at the start {m['load_average']:.1f}.",
        f"autoglm {m['autoglm']}.",
    ]
    lines += [f"{name}: {note}." for name, note in result["peers"].items()]
    return lines


def markdown(result):
    names = engine_names(result)
    head = ["model", "work", "ours, tok/s", "share of the roof"]
    for name in names:
        head += [f"{name}, tok/s", "share", "ours / theirs"]
    lines = ["# Speed beside other engines", ""] + facts(result)
    lines += [
        "",
        "Medians (lowest to highest) over alternating rounds. Shares are of the roof probed in the same round: int8 "
        "multiply-adds for a prompt, bytes read for decode. Theirs are of the bytes of the file, ours of the bytes of "
        "the packed weights.",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
    ]
    notes = []
    for row in result["rows"]:
        depth = f" at depth {row['depth']}" if row["depth"] else ""
        for key, work in (("prefill", f"prompt {row['prompt']}{depth}"), ("decode", f"decode {row['gen']}{depth}")):
            own = row["ours"]
            cells = [row["model"], work, rate(own[f"{key}_tps"]), percent(own[f"{key}_roof_share"])]
            for name in names:
                peer = row["peers"].get(name, {})
                cells += [rate(peer.get(f"{key}_tps")), percent(peer.get(f"{key}_roof_share"))]
                cells += [ratio(peer.get(f"{key}_ratio"))]
            lines.append("| " + " | ".join(cells) + " |")
        for name, peer in row["peers"].items():
            if "note" in peer:
                notes.append(f"- {row['model']}, {name}: {peer['note']}")
    lines += ["", "| model | int8 roof, Gop/s | read roof, GB/s | weights on | KV | logits |", "|---|---|---|---|---|---|"]
    for row in result["rows"]:
        cells = [row["model"], rate(row["int8_gops"]), rate(row["read_gbps"]), row["weight_pages"] + " pages"]
        lines.append("| " + " | ".join(cells + [row["kv_type"], row["logits_hash"]]) + " |")
    return "\n".join(lines + ([""] + notes if notes else [])) + "\n"


def svg(result):
    """Bars: for each model and each half of the work, every engine as a part of the fastest; the figure is tok/s."""
    names = ["ours"] + engine_names(result)
    bar, gap, left, width, panel_width = 15, 14, 210, 1100, 380
    row_height = bar * len(names) + gap
    top = 70
    height = top + row_height * len(result["rows"]) + 10
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">Tokens a second ({html.escape(result["machine"]["cpu"])}, '
        f'{result["threads"]} threads); bars: share of the fastest; ours with its share of the roof</text>',
    ]
    x = left
    for name in names:
        colour = COLOURS.get(name, "#666666")
        out.append(f'<rect x="{x}" y="32" width="12" height="12" fill="{colour}"/>')
        out.append(f'<text x="{x + 17}" y="43">{html.escape(name)}</text>')
        x += 120
    for panel, (key, title) in enumerate((("prefill", "prompt"), ("decode", "decode"))):
        x0 = left + panel * (panel_width + 70)
        out.append(f'<text x="{x0}" y="62" font-weight="bold">{title}</text>')
        for index, row in enumerate(result["rows"]):
            y = top + index * row_height
            if panel == 0:
                out.append(f'<text x="10" y="{y + 12}">{html.escape(row["model"])}</text>')
            figures = {name: (row["ours"] if name == "ours" else row["peers"].get(name, {})) for name in names}
            best = max((f.get(f"{key}_tps") or {}).get("median", 0) for f in figures.values()) or 1
            for place, name in enumerate(names):
                figure = figures[name].get(f"{key}_tps")
                if not figure:
                    continue
                length = max(1, 0.75 * panel_width * figure["median"] / best)
                label = f"{figure['median']:,.0f}" if figure["median"] >= 100 else f"{figure['median']:.1f}"
                share = figures[name].get(f"{key}_roof_share")
                if name == "ours" and share:
                    label += f" ({percent(share)})"
                at = y + place * bar
                colour = COLOURS.get(name, "#666666")
                out.append(f'<rect x="{x0}" y="{at}" width="{length:.1f}" height="{bar - 2}" fill="{colour}"/>')
                out.append(f'<text x="{x0 + length + 5:.1f}" y="{at + 11}">{label}</text>')
    return "\n".join(out + ["</svg>"]) + "\n"


def write(result, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "bench.md").write_text(markdown(result))
    (folder / "bench.svg").write_text(svg(result))
