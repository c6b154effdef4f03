"""Include directions: a layer includes only itself and what it may include, and every header it names exists.

The table is the one of docs/MAP.md (which is read, so that the two cannot differ).
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
source = root / "src"


def allowed_layers() -> dict[str, set[str]]:
    rows = re.findall(r"^\| `(\w+)` \| ([\w, -]*) \|", (root / "docs/MAP.md").read_text(), re.M)
    direct = {name: {word for word in re.split(r"[ ,]+", may) if word and word != "-"} for name, may in rows}

    def closure(name: str) -> set[str]:
        found = {name}
        for below in direct[name]:
            found |= closure(below)
        return found

    return {name: closure(name) for name in direct}


def main() -> int:
    allowed = allowed_layers()
    folders = {path.name for path in source.iterdir() if path.is_dir()}
    faults = [f"docs/MAP.md has no row for src/{name}" for name in sorted(folders - set(allowed))]
    faults += [f"docs/MAP.md names src/{name}, which is not there" for name in sorted(set(allowed) - folders)]
    includes = 0
    for file in sorted(source.rglob("*")):
        if file.suffix not in (".h", ".cpp"):
            continue
        layer = file.relative_to(source).parts[0]
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = re.match(r'\s*#include "([^"]+)"', line)
            if not match or match[1].endswith("_data.h"):  # generated from data files
                continue
            includes += 1
            target = match[1]
            place = f"{file.relative_to(root)}:{number}"
            if not (source / target).is_file():
                faults.append(f"{place}: no src/{target} (includes are written from src/)")
            elif target.split("/")[0] not in allowed.get(layer, set()):
                faults.append(f"{place}: {layer} may not include {target.split('/')[0]}")
    print("\n".join(faults) or f"{includes} includes point the right way")
    return 1 if faults or not includes else 0


sys.exit(main())
