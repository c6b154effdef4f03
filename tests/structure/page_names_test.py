"""The page's modules load: a browser refuses a module that declares a name twice, or imports one that is not there.

`make test` has no browser (`make check` has), so the names are read as text: declarations that stand at a line's beginning.
"""
import pathlib
import re
import sys

assets = pathlib.Path(__file__).resolve().parents[2] / "src" / "server" / "page" / "assets"
DECLARED = re.compile(r"^(?P<exported>export )?(?:async )?(?:function\*?|class|const|let) (?P<name>[A-Za-z_$][\w$]*)", re.MULTILINE)
IMPORTED = re.compile(r'^import \{(?P<names>[^}]*)\} from "\./(?P<module>[^"]+)";', re.MULTILINE)
ANY_IMPORT = re.compile(r"^import\b(?!\()", re.MULTILINE)


def names_of(clause):
    """(name there, name here) of each name of an import."""
    for part in filter(None, (part.strip() for part in clause.split(","))):
        there, _, here = part.partition(" as ")
        yield there, here or there


def main() -> int:
    texts = {file.name: file.read_text() for file in sorted(assets.glob("*.js"))}
    exports = {name: {m["name"] for m in DECLARED.finditer(text) if m["exported"]} for name, text in texts.items()}
    wrong = [] if len(texts) > 5 and any(exports.values()) else ["the page's modules are not where this test looks"]
    for module, text in texts.items():
        here = [m["name"] for m in DECLARED.finditer(text)]
        imports = list(IMPORTED.finditer(text))
        if len(imports) != len(ANY_IMPORT.findall(text)):
            wrong.append(f"{module}: an import that this test cannot read")
        for found in imports:
            for there, name in names_of(found["names"]):
                here.append(name)
                if there not in exports.get(found["module"], ()):
                    wrong.append(f"{module}: {found['module']} exports no {there}")
        wrong += [f"{module}: {name} is declared {here.count(name)} times" for name in sorted(set(here)) if here.count(name) > 1]
    print("\n".join(wrong) or f"{len(texts)} modules: every name is declared once, every import is there")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
