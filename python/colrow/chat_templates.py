"""Chats by a template of one's own, with tools or other variables, as `colrow template` renders them; plain chats by
the model's template go through the library, without a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any, Sequence

from .model_folder import read_json
from .program import find_program

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def template_of(folder: str, given: str | os.PathLike[str] | None, with_tools: bool) -> str:
    """Returns the text of a template.

    Parameters
    ----------
    folder : str
        The model's.
    given : str or path, optional
        The text of a template, or the path of a file with one; None: the model's.
    with_tools : bool
        Of several templates of a model, the one named "tool_use" where there is one.
    """
    if given is not None:
        return _text_or_file(given)
    path = os.path.join(folder, "chat_template.jinja")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            return file.read()
    value = read_json(folder, "tokenizer_config.json").get("chat_template")
    if isinstance(value, list):
        named = {item["name"]: item["template"] for item in value}
        value = named.get("tool_use" if with_tools and "tool_use" in named else "default")
    if not isinstance(value, str):
        raise ValueError(f"{folder} has no chat template; give one as chat_template")
    return value


def _text_or_file(given: str | os.PathLike[str]) -> str:
    text = os.fspath(given)
    if isinstance(given, os.PathLike) or not any(mark in text for mark in "{}\n"):
        try:
            with open(text, encoding="utf-8") as file:
                return file.read()
        except OSError as error:
            if isinstance(given, os.PathLike):
                raise
            raise ValueError(f"chat_template is {text!r:.100}, which is neither a template nor a file: "
                             f"{error.strerror}") from None
    return text


def _special_tokens(folder: str) -> dict[str, str]:
    config = {**read_json(folder, "special_tokens_map.json"), **read_json(folder, "tokenizer_config.json")}
    values = {name: config[name].get("content") if isinstance(config[name], dict) else config[name]
              for name in _SPECIAL if config.get(name)}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _plain(message: Any, i: int) -> Any:
    """A message whose content is a text where it was a list of texts, as most templates want it."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError(f"message {i} is {message!r:.100}; expected a dict with a role and a content")
    content = message.get("content")
    if not isinstance(content, list):
        return message
    texts = [part if isinstance(part, str) else part.get("text") if isinstance(part, dict) else None
             for part in content]
    known = [text for text in texts if isinstance(text, str)]
    if len(known) != len(texts):
        raise ValueError(f"message {i}: its content is {content!r:.100}; expected a text, or parts that are texts")
    return {**message, "content": "\n".join(known)}


def render(folder: str, messages: Sequence[Any], add_generation_prompt: bool, *,
           chat_template: str | os.PathLike[str] | None = None, tools: Any = None, continue_final_message: bool = False,
           variables: dict[str, Any] | None = None) -> str:
    """Returns a chat as a template writes it.

    Parameters
    ----------
    folder : str
        The model's.
    messages : list of dict
    add_generation_prompt : bool
        End with the beginning of an answer.
    chat_template : str or path, optional
        The text of a template, or its file; None: the model's.
    tools : list of dict, optional
        Functions that the model may call, as OpenAI describes them.
    continue_final_message : bool
        End within the last message, which the answer goes on with.
    variables : dict, optional
        More of them, which the template knows.

    Raises
    ------
    ValueError
        The template fails; the text names its line.
    """
    if continue_final_message and add_generation_prompt:
        raise ValueError("continue_final_message and add_generation_prompt contradict each other; give one of them")
    plain = [_plain(message, i) for i, message in enumerate(messages)]
    given = {**_special_tokens(folder), "tools": tools or None, "documents": None, **(variables or {}),
             "messages": plain, "add_generation_prompt": add_generation_prompt}
    text = _run(template_of(folder, chat_template, bool(tools)), given)
    return _cut_behind(text, plain[-1].get("content")) if continue_final_message else text


def _run(template: str, variables: dict[str, Any]) -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".jinja", prefix="colrow-", encoding="utf-8") as file:
        file.write(template)
        file.flush()
        done = subprocess.run([find_program(), "template", file.name], input=json.dumps(variables).encode(),
                              capture_output=True, check=False)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise ValueError("the chat template: " + said.replace("colrow: error: ", "").replace(file.name, "template"))
    return done.stdout.decode("utf-8")


def _cut_behind(text: str, final: Any) -> str:
    """What Transformers does: everything behind the last message's words goes."""
    words = final.strip() if isinstance(final, str) else ""
    if not words or words not in text:
        raise ValueError("continue_final_message: the template does not write the last message as it is")
    begin = text.rindex(words)
    kept = final.lstrip()
    return text[:begin + len(kept)] if text[begin:begin + len(kept)] == kept else text[:begin + len(words)]
