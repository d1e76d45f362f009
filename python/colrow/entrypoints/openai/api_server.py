"""`python -m colrow.entrypoints.openai.api_server --model MODEL ...` is `colrow serve --model MODEL ...`."""

from __future__ import annotations

import sys

from colrow.program import main

if __name__ == "__main__":
    main(["serve", *sys.argv[1:]])
