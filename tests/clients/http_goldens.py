#!/usr/bin/env python3
"""Sends the recorded requests of ../shared/goldens/http to a running server, and says of each answer: equal to
vLLM's, different as docs/compatibility.md lists it, or different. Exit status 1 if any is different.

    http_goldens.py URL [--server default|flags]
"""
import argparse
import fnmatch
import importlib.util
import json
import os
import re
import sys
import types

ROOT = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
GOLDENS = os.path.join(os.environ.get("SHARED_DIR", os.path.join(ROOT, "..", "shared")), "goldens/http")


def listed_patterns():
    """Names, or patterns of names, in backticks in the first column of the table on the server."""
    text = open(os.path.join(ROOT, "docs/compatibility.md"), encoding="utf-8").read()
    patterns = []
    for line in text.split("## The server, beside vLLM 0.32", 1)[1].split("\n## ", 1)[0].splitlines():
        if line.startswith("| `"):
            patterns += re.findall(r"`([^`]+)`", line.split("|")[1])
    return patterns


def compare(url, server):
    """-> (number of equal answers, names of listed ones, {name: differences})"""
    spec = importlib.util.spec_from_file_location("goldens", os.path.join(GOLDENS, "make_http_goldens.py"))
    goldens = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(goldens)
    options = types.SimpleNamespace(null_is_absent=True, headers=False, messages=False, texts=False)
    patterns, equal, listed, different = listed_patterns(), 0, [], {}
    for case in json.load(open(os.path.join(GOLDENS, "vllm-0.32.json"), encoding="utf-8")):
        if case.get("server", "default") != server:
            continue
        try:
            differences = goldens.differences(case, goldens.answer_of(*goldens.send(url, case)), options)
        except Exception as error:
            differences = [f"no usable answer: {type(error).__name__}: {error}"]
        if not differences:
            equal += 1
        elif any(fnmatch.fnmatchcase(case["name"], pattern) for pattern in patterns):
            listed.append(case["name"])
        else:
            different[case["name"]] = differences
    return equal, listed, different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--server", default="default")
    arguments = parser.parse_args()
    equal, listed, different = compare(arguments.url, arguments.server)
    for name, differences in different.items():
        print(name)
        for line in differences[:4]:
            print("    " + line[:300])
    print(f"{equal} equal, {len(listed)} listed in docs/compatibility.md, {len(different)} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
