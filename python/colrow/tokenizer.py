"""A model's tokenizer and chat template, which any number of threads may use at once."""

from __future__ import annotations

import functools
import os
import weakref
from ctypes import c_int, c_size_t, c_void_p
from typing import Any, Sequence

from . import chat_templates, structs
from .library import byref, check, ids_array, library, take_ids, take_text
from .model_folder import find_model, read_json


class Tokenizer:
    """Text to tokens and back, as the model's tokenizer.json says.

    Parameters
    ----------
    model : str or path
        A HuggingFace folder, or ``org/name`` of the HuggingFace cache.
    revision : str, optional
        Of a name.

    Attributes
    ----------
    name_or_path : str
        The folder.
    """

    def __init__(self, model: str | os.PathLike[str], revision: str | None = None) -> None:
        folder = find_model(model, revision)
        handle = c_void_p()
        check(library().colrow_tokenizer_open(folder.encode(), byref(handle)))
        self._take(handle, folder)

    @classmethod
    def of_engine(cls, engine: c_void_p, folder: str) -> Tokenizer:
        """Returns the one that an engine has; it may outlive the engine."""
        self = cls.__new__(cls)
        self._take(c_void_p(library().colrow_get_tokenizer(engine)), folder)
        return self

    def _take(self, handle: c_void_p, folder: str) -> None:
        self._handle = handle
        self.name_or_path = folder
        weakref.finalize(self, library().colrow_tokenizer_close, handle)
        self.decode_token = functools.lru_cache(maxsize=1 << 16)(functools.partial(_decode, handle))

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Returns the token ids of a text.

        Raises
        ------
        InvalidRequestError
            It is not valid Unicode, or too long.
        """
        if not isinstance(text, str):
            raise TypeError(f"expected a str to encode, got {type(text).__name__}")
        data = text.encode("utf-8", "surrogatepass")  # refused below, with the place
        ids, n = c_void_p(), c_int()
        check(library().colrow_tokenizer_encode(self._handle, data, len(data), int(add_special_tokens), byref(ids),
                                                byref(n)))
        return take_ids(ids, n.value)

    def decode(self, token_ids: int | Sequence[int], skip_special_tokens: bool = False) -> str:
        """Returns the text of one token id or several."""
        if hasattr(token_ids, "tolist"):
            token_ids = token_ids.tolist()
        if isinstance(token_ids, int):
            token_ids = [token_ids]
        return _decode(self._handle, *token_ids, skip=skip_special_tokens)

    @functools.cached_property
    def eos_token_id(self) -> int | None:
        """The end token of tokenizer_config.json; None: it names none."""
        return self._special("eos_token")[1]

    def _special(self, name: str) -> tuple[str | None, int | None]:
        value = None
        for file in ("tokenizer_config.json", "special_tokens_map.json"):
            value = value or read_json(self.name_or_path, file).get(name)
        text = value.get("content") if isinstance(value, dict) else value
        if not isinstance(text, str) or not text:
            return None, None
        ids = self.encode(text, add_special_tokens=False)
        return text, ids[0] if len(ids) == 1 else None

    def render_chat(self, messages: Sequence[dict[str, Any]], add_generation_prompt: bool = True, *,
                    chat_template: str | os.PathLike[str] | None = None, tools: Any = None,
                    continue_final_message: bool = False, variables: dict[str, Any] | None = None) -> str:
        """Returns a chat as the model's template writes it.

        Parameters
        ----------
        messages : list of dict
            Each has a role and a content: a text, or a list of parts of type "text".
        add_generation_prompt : bool
            End with the beginning of an answer.
        chat_template, tools, continue_final_message, variables
            See `chat_templates.render()`.
        """
        if chat_template is not None or tools or continue_final_message or variables or _has_more(messages):
            return chat_templates.render(self.name_or_path, messages, add_generation_prompt,
                                         chat_template=chat_template, tools=tools,
                                         continue_final_message=continue_final_message, variables=variables)
        array = (structs.Message * len(messages))()
        kept = []
        for i, message in enumerate(messages):
            role, content = message_texts(message, i)
            kept += [role, content]
            array[i].role, array[i].content = role, content
        text, length = c_void_p(), c_size_t()
        check(library().colrow_tokenizer_apply_chat_template(self._handle, array, len(messages),
                                                             int(add_generation_prompt), byref(text), byref(length)))
        return take_text(text, length.value)


def _decode(handle: c_void_p, *ids: int, skip: bool = False) -> str:
    array = ids_array(ids, "decode")
    text, length = c_void_p(), c_size_t()
    check(library().colrow_tokenizer_decode(handle, array, len(array), int(skip), byref(text), byref(length)))
    return take_text(text, length.value)


def _has_more(messages: Sequence[Any]) -> bool:
    """Whether a message has what only a template of `colrow template` is told."""
    return any(isinstance(message, dict) and not set(message) <= {"role", "content", "name"} for message in messages)


def message_texts(message: Any, i: int) -> tuple[bytes, bytes]:
    """Returns role and content of message number `i` of a chat, as C wants them."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError(f"message {i} is {message!r:.100}; expected a dict with a role and a content")
    content = message.get("content")
    if isinstance(content, list):
        texts = [part if isinstance(part, str) else
                 part.get("text") if isinstance(part, dict) and part.get("type", "text") == "text" else None
                 for part in content]
        known = [text for text in texts if isinstance(text, str)]
        content = "\n".join(known) if len(known) == len(texts) else None
    if not isinstance(content, str):
        raise ValueError(f"message {i}: its content is {message.get('content')!r:.100}; expected a text")
    if "\0" in content or "\0" in message["role"]:
        raise ValueError(f"message {i} holds the character U+0000, which chats cannot have")
    return message["role"].encode(), content.encode()
