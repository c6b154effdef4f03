"""The report that `autoglm compare --json` prints is what docs/quality_report.schema.json says, and every key is there.

Run as: quality_schema_test.py path/to/autoglm model.gguf text.txt
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "docs/quality_report.schema.json").read_text(encoding="utf-8"))


def resolved(schema):
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def properties(schema):
    """Every property that an object of this schema may have."""
    schema = resolved(schema)
    out = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []) + schema.get("oneOf", []):
        out.update(properties(part))
    return out


def undescribed(value, schema, where):
    """Keys of the report that the schema does not know."""
    schema = resolved(schema)
    if isinstance(value, dict):
        known = properties(schema)
        for key, item in value.items():
            if key in known:
                yield from undescribed(item, known[key], f"{where}.{key}")
            else:
                yield f"{where}.{key}"
    elif isinstance(value, list) and "items" in schema:
        for item in value:
            yield from undescribed(item, schema["items"], f"{where}[]")


def main():
    program, model, text = sys.argv[1:]
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    with tempfile.TemporaryDirectory() as folder:
        tasks = pathlib.Path(folder) / "tasks.jsonl"
        tasks.write_text('{"prompt": "One and one is", "choices": [" two", " a dog"], "answer": 0}\n')
        command = [program, "compare", model, model, text, "--text", f"other={text}", "--ctx", "48", "--windows", "3",
                   "--tasks", tasks, "--json", "--quiet", "--no-cache", "--threads", "1"]
        made = subprocess.run(command, capture_output=True, check=True)
    report = json.loads(made.stdout)
    faults = [f"{list(e.absolute_path)}: {e.message}" for e in validator.iter_errors(report)]
    faults += [f"{key} is not in the schema" for key in undescribed(report, SCHEMA, "report")]
#The schema must be able to say no.
    for wrong in ({**report, "schema_version": 2}, {**report, "top1_agreement": 1.5}, {**report, "texts": []}):
        if validator.is_valid(wrong):
            faults.append("the schema accepts a wrong report")
    assert report["partings"] and report["tasks"] and len(report["by_kind"]) == 2
    print("\n".join(faults) or "the report is what the schema says")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
