"""`python -m colrow.entrypoints.openai.api_server --model MODEL ...` is `colrow serve --model MODEL ...`, with those
flags of vLLM's server besides that mean nothing here, or ask for what colrow does anyway."""

from __future__ import annotations

import json
import sys

from colrow.engine_args import ONLY, SWITCHES, WITHOUT_EFFECT
from colrow.program import main
from colrow.utils.argparse_utils import dashed

# Of `colrow serve` itself, though an engine in Python takes them for vLLM's sake alone.
_OF_SERVE = {"enforce_eager", "block_size", "max_logprobs", "enable_log_requests", "disable_log_requests",
             "chat_template", "nnodes", "kv_offloading_backend", "served_model_name"}
_SERVER_SWITCHES = {"disable_uvicorn_access_log", "disable_fastapi_docs", "disable_frontend_multiprocessing"}
_SERVER_VALUES = {"uvicorn_log_level", "response_role", "chat_template_content_format", "max_log_len",
                  "api_server_count"}


def _meaning(value: str | None) -> object:
    """What a flag's text means to Python: a number, true or false, an object, else the text."""
    try:
        return True if value is None else json.loads(value.replace("None", "null"))
    except ValueError:
        return value


def serve_arguments(arguments: list[str]) -> list[str]:
    """Returns the flags of vLLM's server as `colrow serve` has them.

    Parameters
    ----------
    arguments : list of str
        Without the program's name.

    Raises
    ------
    ValueError
        A flag asks for something that colrow does not have.
    """
    left, kept, revision = list(arguments), [], ""
    while left:
        given = left.pop(0)
        flag, equals, value = dashed(given).partition("=")
        if flag == "--revision":
            revision = "@" + (value if equals else left.pop(0) if left else "")
            continue
        name = flag[2:].replace("-", "_") if flag.startswith("--") else ""
        switch = name in SWITCHES or name in _SERVER_SWITCHES or name.startswith("no_") or any(
            isinstance(item, bool) for item in ONLY.get(name, ()))
        positive = name[3:] if name.startswith("no_") else name
        known = (positive in WITHOUT_EFFECT or positive in ONLY or positive in _SERVER_SWITCHES | _SERVER_VALUES)
        if not known or positive in _OF_SERVE:
            kept.append(given)
            continue
        text = value if equals else None if switch else left.pop(0) if left else None
        if positive in ONLY:
            means = positive == name if switch else _meaning(text)
            if positive == "tokenizer" and text in kept:  # the model's own
                continue
            if not any(means == item for item in ONLY[positive]):
                raise ValueError(f"{flag} is {text or means}, which colrow does not have; expected "
                                 f"{' or '.join(str(item) for item in ONLY[positive])}")
    return with_revision(kept, revision) if revision else kept


def with_revision(words: list[str], revision: str) -> list[str]:
    """Returns flags in which the model's name has a revision, as `colrow serve` wants it."""
    for i, word in enumerate(words):
        if word == "--model" and i + 1 < len(words):
            return [*words[:i + 1], words[i + 1] + revision, *words[i + 2:]]
        if word.startswith("--model="):
            return [*words[:i], word + revision, *words[i + 1:]]
    raise ValueError("--revision is given without --model")


def serve(arguments: list[str]) -> None:
    """Becomes `colrow serve`."""
    try:
        words = serve_arguments(arguments)
    except ValueError as error:
        sys.exit(f"colrow: error: {error}")
    main(["serve", *words])


if __name__ == "__main__":
    serve(sys.argv[1:])
