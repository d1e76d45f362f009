#!/bin/sh
# anthropic 2.14.0 (Python): messages.create() and messages.stream() have no parameters `temperature`, `top_p` and
# `top_k` any more, though the API still takes them. One would guess that an unknown keyword goes into the request, as
# with many clients, or that the major version's change left sampling alone. A program written for 0.x gets a
# TypeError before anything is sent; greedy answers from a server of one's own need extra_body={"temperature": 0}.
#
# Seen 2026-11-28: create() takes temperature: False, top_p: False, top_k: False, extra_body: True
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check anthropic==2.14.0
cat >"$dir/show.py" <<'PYTHON'
import inspect
import sys

from anthropic import Anthropic

taken = inspect.signature(Anthropic(api_key="none", base_url="http://127.0.0.1:9").messages.create).parameters
now = {name: name in taken for name in ("temperature", "top_p", "top_k", "extra_body")}
print("create() takes " + ", ".join(f"{name}: {there}" for name, there in now.items()))
sys.exit(list(now.values()) != [False, False, False, True])
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
