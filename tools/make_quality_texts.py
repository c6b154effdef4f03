#!/usr/bin/env python3
"""Brings the texts that quantizers are calibrated and judged with: the Debian Administrator's Handbook.

    python3 tools/make_quality_texts.py [--out build/texts]

Fetches the Debian package debian-handbook with apt-get (nothing is installed) and writes, for English and Chinese,
calibration-LANG.txt (chapters 1, 3, 5, ...) and evaluation-LANG.txt (chapters 2, 4, 6, ...): no page is in both. Prints
their SHA-256.
"""

import argparse
import hashlib
import html.parser
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
PARAGRAPHS = {"p", "div", "li", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "pre", "td", "tr", "br"}
SKIPPED = ("docnav", "toc", "footnotes")


class Page(html.parser.HTMLParser):
    """The text of a page, a paragraph a line; code keeps its lines."""

    def __init__(self):
        super().__init__()
        self.paragraphs = [""]
        self.open = []  # (tag, hidden)
        self.code = 0

    def handle_starttag(self, tag, attributes):
        if tag in ("img", "link", "meta", "br", "input", "hr"):
            return
        attributes = dict(attributes)
        words = (attributes.get("class") or "").split()
        hidden = any(word in SKIPPED for word in words) or tag in ("head", "script", "style")
        hidden |= attributes.get("id") in ("banner", "title")
        self.open.append((tag, hidden or (bool(self.open) and self.open[-1][1])))
        self.code += tag == "pre"
        if tag in PARAGRAPHS:
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        if not any(name == tag for name, _ in self.open):
            return
        while self.open:
            name, _ = self.open.pop()
            self.code -= name == "pre"
            if name == tag:
                break
        if tag in PARAGRAPHS:
            self.paragraphs.append("")

    def handle_data(self, data):
        if not (self.open and self.open[-1][1]):
            self.paragraphs[-1] += data if self.code else re.sub(r"\s+", " ", data)

    def text(self):
        return "\n".join(line for line in (p.strip() for p in self.paragraphs) if line)


def chapters(folder):
    """Pages of each numbered chapter, in the order of the table of contents."""
    index = (folder / "index.html").read_text("utf-8")
    found = []
    for kind, page in re.findall(r'class="(\w+)"><a href="([^"#]+)(?:#[^"]*)?">', index):
        if kind == "chapter":
            found.append([page])
        elif kind == "appendix":
            found.append([])  # appendices end the last chapter
        elif kind == "section" and found and found[-1] and page not in found[-1]:
            found[-1].append(page)
    return [pages for pages in found if pages]


def text_of(folder, pages):
    parts = []
    for name in pages:
        page = Page()
        page.feed((folder / name).read_text("utf-8"))
        parts.append(page.text())
    return "\n\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build" / "texts")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["apt-get", "-q", "download", "debian-handbook"], cwd=work, check=True, capture_output=True)
        package = next(pathlib.Path(work).glob("debian-handbook_*.deb"))
        subprocess.run(["dpkg-deb", "-x", package, work], check=True)
        print(f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package.name}")
        for short, name in LANGUAGES.items():
            folder = pathlib.Path(work) / "usr/share/doc/debian-handbook/html" / name
            numbered = chapters(folder)
            for first, kind in enumerate(("calibration", "evaluation")):
                data = "\n\n\n".join(text_of(folder, pages) for pages in numbered[first::2]).encode() + b"\n"
                target = out / f"{kind}-{short}.txt"
                target.write_bytes(data)
                print(f"{hashlib.sha256(data).hexdigest()}  {target}")


if __name__ == "__main__":
    main()
