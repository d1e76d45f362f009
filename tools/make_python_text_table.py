#!/usr/bin/env python3
"""Writes src/text/python_text_table.c: what Python's str methods know of each character, so that chat templates see the
same upper case, the same digits and the same spaces as under Jinja2. Run with the Python that is to be followed.

usage: make_python_text_table.py > src/text/python_text_table.c
"""
import sys
import unicodedata

FLAGS = ["ALPHA", "DECIMAL", "DIGIT", "NUMERIC", "LOWER", "UPPER", "TITLE", "SPACE", "PRINTABLE", "NAME_START",
         "NAME_PART", "CASED", "IGNORABLE"]


def flags_of(c):
    sigma_after = ("A" + c + "\u03a3").lower()[-1] == "\u03c2"
    sigma_alone = (c + "\u03a3").lower()[-1] == "\u03c2"
    tests = [c.isalpha(), c.isdecimal(), c.isdigit(), c.isnumeric(), c.islower(), c.isupper(),
             unicodedata.category(c) == "Lt", c.isspace(), c.isprintable(), c.isidentifier(), ("a" + c).isidentifier(),
             (c + "a").title()[-1] == "a", sigma_after and not sigma_alone]
    return sum(1 << i for i, test in enumerate(tests) if test)


def ranges():
    out = []
    for code in range(0x110000):
        value = 0 if 0xD800 <= code < 0xE000 else flags_of(chr(code))
        if not out or out[-1][1] != value:
            out.append((code, value))
    return out


def runs(pairs):
    """(code, delta) to (first, last, step, delta) with step 1 or 2."""
    out = []
    for code, delta in pairs:
        if out and out[-1][3] == delta:
            first, last, step, _ = out[-1]
            gap = code - last
            if gap in (1, 2) and step in (0, gap):
                out[-1] = (first, code, gap, delta)
                continue
        out.append((code, code, 0, delta))
    return [(a, b, s or 1, d) for a, b, s, d in out]


def mapping(method, same_as=None):
    simple, special = [], []
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        c = chr(code)
        to = method(c)
        if to == (same_as(c) if same_as else c):
            continue
        if len(to) == 1:
            simple.append((code, ord(to) - code))
        else:
            special.append((code, [ord(x) for x in to]))
    return runs(simple), special


def rows(items, width=110):
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > width:
            yield line
            line = "   "
        line += " " + item + ","
    yield line


def main():
    print("// Made by tools/make_python_text_table.py with Python %d.%d, Unicode %s. Do not edit." %
          (*sys.version_info[:2], unicodedata.unidata_version))
    print('#include "text/python_text_table.h"\n\n// clang-format off')
    table = ranges()
    print("const struct python_range python_ranges[] = {")
    print("\n".join(rows("{0x%X, 0x%X}" % r for r in table)))
    print("};\nconst size_t n_python_ranges = sizeof python_ranges / sizeof *python_ranges;")
    for name, method, same in [("lower", str.lower, None), ("upper", str.upper, None), ("title", str.title, str.upper),
                               ("fold", str.casefold, str.lower)]:
        simple, special = mapping(method, same)
        print(f"static const struct python_case_run {name}_runs[] = {{")
        print("\n".join(rows("{0x%X, 0x%X, %d, %d}" % r for r in simple)))
        print(f"}};\nstatic const struct python_case_special {name}_specials[] = {{")
        special = special or [(0x110000, [0])]
        print("\n".join(rows("{0x%X, %d, {%s}}" % (c, len(to), ", ".join("0x%X" % x for x in to))
                             for c, to in special)))
        print("};\nconst struct python_case python_%s_case = {%s_runs, sizeof %s_runs / sizeof *%s_runs, %s_specials,"
              "\n    sizeof %s_specials / sizeof *%s_specials};" % ((name,) * 7))


main()
