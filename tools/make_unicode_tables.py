#!/usr/bin/env python3
"""Writes src/text/jinja_unicode_tables.cpp: what Python's str methods need to know about characters.

Usage: python3 tools/make_unicode_tables.py > src/text/jinja_unicode_tables.cpp
       python3 tools/make_unicode_tables.py --digest    the number that tests/text/jinja_unicode_test.cpp expects
Needs Python 3.11 only (Unicode 14), so that templates behave as they do under it.
"""
import sys

CHARACTERS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
WIDTH = 120


def cased(ch):
    # Python lowers a capital sigma at the end of a word to the final form: it looks for a cased character before it and
    # none after it, over case-ignorable ones. Both sets are found by asking Python.
    return ("A\u03a3" + ch).lower()[1] == "\u03c3"


def case_ignorable(ch):
    return not cased(ch) and ("A" + ch + "\u03a3").lower()[-1] == "\u03c2"


# Names of the tables and of the functions of jinja_unicode.h, in one order. kDigit and kNumeric hold only what the one
# before them does not: every decimal is a digit, every digit numeric.
CLASSES = [
    ("kAlpha", str.isalpha),
    ("kDecimal", str.isdecimal),
    ("kDigit", lambda ch: ch.isdigit() and not ch.isdecimal()),
    ("kNumeric", lambda ch: ch.isnumeric() and not ch.isdigit()),
    ("kLower", str.islower),
    ("kUpper", str.isupper),
    ("kTitle", lambda ch: ch.istitle() and not ch.isupper()),
    ("kPrintable", str.isprintable),
    ("kCased", cased),
    ("kCaseIgnorable", case_ignorable),
]


def runs(values):
    """Runs [first, last, stride] of the ascending `values`, which every second character may follow (stride 2)."""
    out = []
    for value in values:
        run = out[-1] if out else None
        step = value - run[1] if run else 0
        if step in (1, 2) and (run[0] == run[1] or run[2] == step):
            run[1], run[2] = value, step
        else:
            out.append([value, value, 1])
    return out


def classes(test):
    return runs([c for c in CHARACTERS if test(chr(c))])


def mapping(convert, otherwise):
    """What `convert` does and `otherwise` does not: runs (first, last, stride, delta) of one-character mappings, and
    the longer ones."""
    deltas, special = {}, {}
    for c in CHARACTERS:
        to = convert(chr(c))
        if to == otherwise(chr(c)):
            continue
        if len(to) == 1:
            deltas.setdefault(ord(to) - c, []).append(c)
        else:
            special[c] = to
    # Runs of one delta do not overlap, but those of two (upper and lower letters in turn) interlace.
    single = sorted([*run, delta] for delta, members in deltas.items() for run in runs(members))
    return single, special


def emit(declaration, items):
    name = declaration.split()[-1]
    print(f"const {declaration}[] = {{")
    line = ""
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            print(line)
            line = ""
        line += (" " if line else "    ") + item + ","
    print(line + "\n};")
    print(f"const size_t {name}Size = std::size({name});")


def emit_ranges(name, table):
    def item(first, last, stride):
        if first == last:
            return f"{{{first:#x}}}"
        return f"{{{first:#x}, {last:#x}}}" if stride == 1 else f"{{{first:#x}, {last:#x}, {stride}}}"

    emit(f"Range {name}", [item(*run) for run in table])


def emit_map(name, single, special):
    emit(f"CaseRun {name}", [f"{{{first:#x}, {last:#x}, {stride}, {delta}}}" for first, last, stride, delta in single])
    codes = {c: ", ".join(f"{ord(x):#x}" for x in text) for c, text in sorted(special.items())}
    emit(f"CaseSpecial {name}Special", [f"{{{c:#x}, {{{text}}}}}" for c, text in codes.items()])


def digest():
    """FNV-1a over the classes and mappings of every character, as the test computes it from the tables."""
    tests = [str.isalpha, str.isdecimal, str.isdigit, str.isnumeric, str.islower, str.isupper,
             lambda ch: ch.istitle() and not ch.isupper(), str.isprintable, str.isspace, cased, case_ignorable]
    value = 0xCBF29CE484222325
    for c in CHARACTERS:
        ch = chr(c)
        text = "".join("1" if test(ch) else "0" for test in tests) + ch.upper() + ch.lower() + ch.title()
        for byte in text.encode():
            value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return value


def main():
    if sys.argv[1:] == ["--digest"]:
        print(f"{digest():#x}")
        return
    print("// Made by tools/make_unicode_tables.py with Python", ".".join(map(str, sys.version_info[:2])) + ". Do not edit.")
    print('#include <iterator>\n\n#include "text/jinja_unicode.h"\n\nnamespace autoglm::jinja {\n// clang-format off\n')
    for name, test in CLASSES:
        emit_ranges(name, classes(test))
    emit_map("kToUpper", *mapping(str.upper, str))
    emit_map("kToLower", *mapping(str.lower, str))
    emit_map("kToTitle", *mapping(str.title, str.upper))
    print("\n// clang-format on\n}  // namespace autoglm::jinja")


if __name__ == "__main__":
    main()
