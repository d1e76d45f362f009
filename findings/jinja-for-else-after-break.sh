#!/bin/sh
# Jinja2 3.1.6 with its loop controls (which Transformers switches on for chat templates): the `else` of a `for` runs
# after a `break`. In Python, whose words these are, it is the other way round: a loop that was left by `break` skips
# its `else`. Jinja2 runs it whenever no pass came to the end of the body, so a loop whose every pass ends with
# `continue` runs it as well. Templates that search messages with break and report "none" in else do both.
#
# Seen 2026-11-28:
#   break: 'found none', continue: 'x', whole pass: '1'
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check jinja2==3.1.6
cat >"$dir/show.py" <<'PYTHON'
import sys

from jinja2.sandbox import ImmutableSandboxedEnvironment

environment = ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
cases = {"break": "{% for m in [1, 2] %}found {% break %}{% else %}none{% endfor %}",
         "continue": "{% for m in [1, 2] %}{% continue %}{% else %}x{% endfor %}",
         "whole pass": "{% for m in [1] %}{{ m }}{% else %}x{% endfor %}"}
now = {name: environment.from_string(text).render() for name, text in cases.items()}
print(", ".join(f"{name}: {text!r}" for name, text in now.items()))
sys.exit(list(now.values()) != ["found none", "x", "1"])
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
