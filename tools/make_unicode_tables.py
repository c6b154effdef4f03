#!/usr/bin/env python3
"""Writes src/text/jinja_unicode_tables.cpp: what Python's str methods need to know about characters.

Usage: python3 tools/make_unicode_tables.py > src/text/jinja_unicode_tables.cpp
Needs Python 3.11 only (Unicode 14), so that templates behave as they do under it.
"""
import sys

LIMIT = 0x110000
SURROGATES = range(0xD800, 0xE000)


def chars():
    return (c for c in range(LIMIT) if c not in SURROGATES)


def ranges(test):
    out, start = [], None
    for c in range(LIMIT + 1):
        ok = c < LIMIT and c not in SURROGATES and test(chr(c))
        if ok and start is None:
            start = c
        elif not ok and start is not None:
            out.append((start, c - 1))
            start = None
    return out


def mapping(convert):
    """Runs (first, last, stride, delta) of one-character mappings, and the longer ones."""
    single, special = {}, {}
    for c in chars():
        to = convert(chr(c))
        if to == chr(c):
            continue
        if len(to) == 1:
            single[c] = ord(to) - c
        else:
            special[c] = to
    runs, keys, i = [], sorted(single), 0
    while i < len(keys):
        first = keys[i]
        delta = single[first]
        best = (first, first, 1)
        for stride in (1, 2):
            last, j = first, first + stride
            while single.get(j) == delta and (stride == 1 or j - 1 not in single or single[j - 1] != delta):
                last, j = j, j + stride
            if (last - first) // stride > (best[1] - best[0]) // best[2]:
                best = (first, last, stride)
        runs.append((*best, delta))
        i = keys.index(best[1]) + 1 if best[2] == 1 else i
        if best[2] == 2:
            taken = set(range(best[0], best[1] + 1, 2))
            keys = [k for k in keys if k not in taken]
            i = next((n for n, k in enumerate(keys) if k > first), len(keys))
    runs.sort()
    return runs, special


def final_sigma_sets():
    # Python lowers a capital sigma at the end of a word to the final form: it looks for a cased character before it and
    # none after it, over case-ignorable ones. Both sets are found by asking Python.
    cased = lambda ch: ("A" + "\u03a3" + ch).lower()[1] == "\u03c3"
    ignorable = lambda ch: not cased(ch) and ("A" + ch + "\u03a3").lower()[-1] == "\u03c2"
    return cased, ignorable


def emit_ranges(name, table):
    print(f"const Range {name}[] = {{")
    line = "   "
    for a, b in table:
        item = f" {{0x{a:x}, 0x{b:x}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")
    print(f"const size_t {name}Size = sizeof {name} / sizeof {name}[0];")


def emit_map(name, runs, special):
    print(f"const CaseRun {name}[] = {{")
    line = "   "
    for a, b, s, d in runs:
        item = f" {{0x{a:x}, 0x{b:x}, {s}, {d}}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")
    print(f"const size_t {name}Size = sizeof {name} / sizeof {name}[0];")
    print(f"const CaseSpecial {name}Special[] = {{")
    line = "   "
    for c, text in sorted(special.items()):
        codes = [ord(x) for x in text] + [0] * (3 - len(text))
        item = f" {{0x{c:x}, {{" + ", ".join(f"0x{x:x}" for x in codes) + "}},"
        if len(line) + len(item) > 118:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")
    print(f"const size_t {name}SpecialSize = sizeof {name}Special / sizeof {name}Special[0];")


def main():
    print("// Made by tools/make_unicode_tables.py with Python", ".".join(map(str, sys.version_info[:2])) + ". Do not edit.")
    print('#include "text/jinja_unicode.h"\n\nnamespace autoglm::jinja {\n// clang-format off\n')
    cased, ignorable = final_sigma_sets()
    for name, test in [("kAlpha", str.isalpha), ("kDecimal", str.isdecimal), ("kDigit", str.isdigit),
                       ("kNumeric", str.isnumeric), ("kLower", str.islower), ("kUpper", str.isupper),
                       ("kTitle", lambda c: c.istitle() and not c.isupper()),
                       ("kPrintable", str.isprintable), ("kCased", cased), ("kCaseIgnorable", ignorable)]:
        emit_ranges(name, ranges(test))
    emit_map("kToUpper", *mapping(str.upper))
    emit_map("kToLower", *mapping(str.lower))
    emit_map("kToTitle", *mapping(str.title))
    print("\n// clang-format on\n}  // namespace autoglm::jinja")


main()
