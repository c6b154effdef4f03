"""English and Chinese twins (X.md and X.zh.md) have the same headings by level, the same code blocks and the same links.

Also: every relative link of every page leads somewhere, and each page that must have a twin has one.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
must_have_twin = ["README.md", "docs/CONFIG.md", "docs/OPTIMIZE.md", "docs/TUNE.md"]


def outline(text: str):
    levels, blocks, block = [], [], None
    for line in text.splitlines():
        if line.startswith("```"):
            if block is None:
                block = []
            else:
                blocks.append("\n".join(block))
                block = None
        elif block is not None:
            # A comment in a code block is prose: it may be translated.
            block.append(re.sub(r"\s*#.*", "", line).rstrip())
        elif match := re.match(r"(#+) ", line):
            levels.append(len(match[1]))
    return levels, blocks, block is not None


def main() -> int:
    faults, pairs = [], 0
    pages = [p for p in root.rglob("*.md") if not {"build", "dist", ".git"} & set(p.relative_to(root).parts)]
    for page in pages:
        name = str(page.relative_to(root))
        text = page.read_text()
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", re.sub(r"```.*?```", "", text, flags=re.S)):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                faults.append(f"{name}: link to {target} leads nowhere")
        if name in must_have_twin and not page.with_name(page.stem + ".zh.md").exists():
            faults.append(f"{name} has no Chinese twin")
        if not name.endswith(".zh.md"):
            continue
        pairs += 1
        english = page.with_name(page.name.replace(".zh.md", ".md"))
        if not english.exists():
            faults.append(f"{name} has no English twin")
            continue
        here, there = outline(text), outline(english.read_text())
        if here[2] or there[2]:
            faults.append(f"{name}: an open code block")
        if here[0] != there[0]:
            faults.append(f"{name}: heading levels {here[0]} differ from the twin's {there[0]}")
        for index, (a, b) in enumerate(zip(here[1], there[1])):
            if a != b:
                faults.append(f"{name}: code block {index + 1} differs from the twin's:\n{a}\n--\n{b}")
        if len(here[1]) != len(there[1]):
            faults.append(f"{name}: {len(here[1])} code blocks, the twin has {len(there[1])}")
    print("\n".join(faults) or f"{pairs} pairs and {len(pages)} pages agree")
    return 1 if faults or not pairs else 0


sys.exit(main())
