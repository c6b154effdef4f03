"""The web page's words: each has both languages with the same places, each that is used exists, each is used; imports of
its modules are as the key page rewrites them, and make no circle."""
import pathlib
import re
import sys

folder = pathlib.Path(__file__).resolve().parents[2] / "src/server/page/assets"
scripts = {file.name: file.read_text() for file in folder.glob("*.js")}
places = lambda text: sorted(re.findall(r"\{(\w+)\}", text))
faults = []

table = re.search(r"^const kTexts = \{\n(.*?)^\};", scripts["texts.js"], re.M | re.S)[1]
string = r'"((?:[^"\\]|\\.)*)"'
texts = {key: (en, zh) for key, en, zh in re.findall(rf'^  "([\w.]+)": \[\s*{string},\s*{string},?\s*\],$', table, re.M)}
if len(texts) != len(re.findall(r'^  "[\w.]+": \[', table, re.M)) or len(texts) < 50:
    faults.append("texts.js: a row of kTexts has not both languages")
same = {"Top-p"}
for key, (en, zh) in texts.items():
    if not en.strip() or not zh.strip() or (en == zh and en not in same):
        faults.append(f"{key}: a language is missing")
    words = re.sub(r"\{\w+\}|\W", "", zh)
    if words and key != "app.language" and zh not in same and not re.search(r"[\u4e00-\u9fff]", words):
        faults.append(f"{key}: '{zh}' is not Chinese")
    if places(en) != places(zh):
        faults.append(f"{key}: the languages have different places")

code = "\n".join(text for name, text in scripts.items() if name != "texts.js")
named = set(re.findall(r'"((?:app|list|chat|scores|set|dash|time)\.[\w.]+)"', code)) - {"app.css"}
families = set(re.findall(r"t\(`([\w.]+\.)\$\{", code))
faults += [f"{key} is used and not in kTexts" for key in sorted(named - set(texts))]
faults += [f"{key} is not used" for key in sorted(texts) if key not in named and not key.startswith(tuple(families))]

imports = {}
for name, text in scripts.items():
    imports[name] = re.findall(r'^import .* from "\./([\w.]+)";$', text, re.M)
    if len(imports[name]) != len(re.findall(r"^\s*(?:import|export)\b.*\bfrom\b|^import\b", text, re.M)):
        faults.append(f"{name}: an import that key.js would not find (one line, from \"./NAME.js\";)")


def circle(name, above):
    if name in above:
        return [*above, name]
    return next((found for other in imports[name] if (found := circle(other, [*above, name]))), None)


for name in imports:
    if found := circle(name, []):
        faults.append("a circle of imports: " + " -> ".join(found))

print("\n".join(faults) or f"{len(texts)} texts in two languages, {len(scripts)} scripts")
sys.exit(1 if faults else 0)
