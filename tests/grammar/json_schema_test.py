"""Every text that our grammar of a JSON schema allows must validate, as the `jsonschema` package sees it.

Run as: json_schema_test.py path/to/grammar_corpus
"""
import datetime
import json
import pathlib
import subprocess
import sys
import uuid

import jsonschema

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = 40

checker = jsonschema.FormatChecker(formats=["email", "ipv4", "ipv6"])


@checker.checks("date", raises=ValueError)
def is_date(text):
    return not isinstance(text, str) or bool(datetime.date.fromisoformat(text))


@checker.checks("time", raises=ValueError)
def is_time(text):
    if isinstance(text, str):
        datetime.datetime.strptime(text.replace("Z", "+00:00"), "%H:%M:%S.%f%z" if "." in text else "%H:%M:%S%z")
    return True


@checker.checks("date-time", raises=ValueError)
def is_date_time(text):
    if isinstance(text, str):
        date, _, time = text.partition("T")
        return is_date(date) and is_time(time)
    return True


@checker.checks("uuid", raises=ValueError)
def is_uuid(text):
    return not isinstance(text, str) or str(uuid.UUID(text)) == text


def main():
    schemas = json.loads((HERE / "schemas.json").read_text(encoding="utf-8"))
    made = subprocess.run([sys.argv[1], str(HERE / "schemas.json"), str(TEXTS), "7"], check=True, capture_output=True)
    corpus = json.loads(made.stdout)
    assert len(corpus) == len(schemas)
    valid = bad = unfinished = 0
    for schema, texts in zip(schemas, corpus):
        validator = jsonschema.Draft202012Validator(schema, format_checker=checker)
        for text in texts:
            if not text:
                unfinished += 1
                continue
            try:
                value = json.loads(text)
                value_text = json.dumps(value, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair
                error = None if value_text else "empty"
                for problem in validator.iter_errors(value):
                    error = problem.message
                    break
            except ValueError as problem:
                error = str(problem)
            if error:
                bad += 1
                print(f"{json.dumps(schema)[:300]}\n  allows {text[:300]!r}\n  but: {error[:300]}")
            valid += not error
        distinct = len(set(texts))
        if distinct < 2 and "const" not in schema:
            bad += 1
            print(f"{json.dumps(schema)[:300]}\n  allows nothing but {texts[0][:100]!r}")
    print(f"{valid} texts validate, {bad} do not, {unfinished} were given up")
    assert bad == 0
    assert unfinished * 20 < valid
    return 0


if __name__ == "__main__":
    sys.exit(main())
