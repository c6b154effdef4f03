"""The keywords and formats of JSON Schema that docs/SERVING.md and its twin list are those that the code knows."""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
grammar = root / "src/text/grammar"


def words_of(file: str, name: str, which: str) -> set[str]:
    block = re.search(name + r" = \{(.*?)\};", (grammar / file).read_text(), re.S)
    return set(re.findall(which, block[1], re.M))


def main() -> int:
    keywords = words_of("schema_rules.cpp", "kKeywords", r'"([^"]+)"')
    keywords |= words_of("schema_rules.cpp", "kAnnotations", r'"([^"]+)"')
    formats = words_of("json_formats.cpp", "kFormats", r'^\s*\{"([a-z0-9-]+)",')
    formats |= {match for match in re.findall(r'format [!=]= "(\w+)"', (grammar / "json_schema.cpp").read_text())}
    faults = []
    for page in ("SERVING.md", "SERVING.zh.md"):
        section = re.search(r"^### JSON Schema\n(.*?)^##", (root / "docs" / page).read_text(), re.S | re.M)[1]
        rows = re.findall(r"^\| (`[^|]*) \|", section, re.M)
        listed = {word for row in rows for word in re.findall(r"`([^`]+)`", row)} - {"x-"}
        prose = set(re.findall(r"`([^`]+)`", re.sub(r"^\|.*$", "", section, flags=re.M)))
        prose = {word for word in prose if not word.startswith("--")}  # settings that the section names
        for what, code, docs in (("keyword", keywords, listed), ("format", formats, prose)):
            faults += [f"docs/{page} does not list the {what} {word}" for word in sorted(code - docs)]
            faults += [f"docs/{page} lists the {what} {word}, which the code does not know" for word in sorted(docs - code)]
    print("\n".join(faults) or f"{len(keywords)} keywords and {len(formats)} formats are listed")
    return 1 if faults or len(keywords) < 40 or len(formats) < 14 else 0


if __name__ == "__main__":
    sys.exit(main())
