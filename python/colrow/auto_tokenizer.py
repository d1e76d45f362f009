"""`AutoTokenizer`: a model's tokenizer with Transformers' interface, on lists, numpy arrays or torch tensors."""

from __future__ import annotations

import os
from typing import Any, Dict, Sequence

from .arrays import array_of, check_device
from .tokenizer import Tokenizer


class BatchEncoding(Dict[str, Any]):
    """`input_ids` and `attention_mask`, by name or as attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def to(self, device: Any = None, **_: Any) -> BatchEncoding:
        """Returns itself: colrow computes on CPUs."""
        check_device(device)
        return self


class PreTrainedTokenizer(Tokenizer):
    """A tokenizer that is called as Transformers' are.

    Parameters
    ----------
    model : str or path
        A HuggingFace folder, or ``org/name`` of the HuggingFace cache.
    revision : str, optional
        Of a name.
    padding_side : str
        "left" or "right": where shorter texts are filled up; models that go on from a text want "left".

    Attributes
    ----------
    bos_token, eos_token, pad_token : str or None
        As tokenizer_config.json names them; pad_token may be set.
    bos_token_id, eos_token_id, pad_token_id : int or None
    """

    def __init__(self, model: str | os.PathLike[str], revision: str | None = None, padding_side: str = "left") -> None:
        super().__init__(model, revision)
        if padding_side not in ("left", "right"):
            raise ValueError(f"padding_side is {padding_side!r}; expected 'left' or 'right'")
        self.padding_side = padding_side
        self.bos_token, self.bos_token_id = self._special("bos_token")
        self.eos_token = self._special("eos_token")[0]
        self._pad = self._special("pad_token")

    @property
    def pad_token(self) -> str | None:
        """What fills up shorter texts."""
        return self._pad[0]

    @pad_token.setter
    def pad_token(self, text: str) -> None:
        ids = self.encode(text, add_special_tokens=False)
        if len(ids) != 1:
            raise ValueError(f"pad_token is {text!r}, which is {len(ids)} tokens; expected one")
        self._pad = text, ids[0]

    @property
    def pad_token_id(self) -> int | None:
        """Its number."""
        return self._pad[1]

    def __call__(self, text: str | Sequence[str], *, add_special_tokens: bool = True, padding: bool | str = False,
                 truncation: bool = False, max_length: int | None = None,
                 return_tensors: str | None = None) -> BatchEncoding:
        """Returns the tokens of one text or several.

        Parameters
        ----------
        padding : bool or str
            True, "longest": as long as the longest; "max_length": as `max_length`.
        truncation : bool
            Cut after `max_length` tokens.
        return_tensors : str, optional
            "np" or "pt": arrays [texts, tokens]; None: lists.
        """
        if padding not in (False, True, "longest", "max_length", "do_not_pad"):
            raise ValueError(f"padding is {padding!r}; expected False, True, 'longest' or 'max_length'")
        if max_length is None and (truncation or padding == "max_length"):
            raise ValueError("max_length is not given, which truncation and padding='max_length' need")
        one = isinstance(text, str)
        texts = [text] if isinstance(text, str) else text
        rows = [self.encode(item, add_special_tokens) for item in texts]
        if truncation:
            rows = [row[:max_length] for row in rows]
        masks = [[1] * len(row) for row in rows]
        if padding not in (False, "do_not_pad"):
            longest = max(map(len, rows), default=0)
            self._fill_up(rows, masks, max_length if padding == "max_length" and max_length is not None else longest)
        if one and return_tensors is None:
            return BatchEncoding(input_ids=rows[0], attention_mask=masks[0])
        return BatchEncoding(input_ids=array_of(rows, return_tensors), attention_mask=array_of(masks, return_tensors))

    def _fill_up(self, rows: list[list[int]], masks: list[list[int]], width: int) -> None:
        pad = self.pad_token_id
        for row, mask in zip(rows, masks):
            missing = max(width - len(row), 0)
            if pad is None and missing:
                raise ValueError("the tokenizer has no pad_token; set one: tokenizer.pad_token = tokenizer.eos_token")
            at = 0 if self.padding_side == "left" else len(row)
            row[at:at] = [pad or 0] * missing
            mask[at:at] = [0] * missing

    def batch_decode(self, sequences: Any, skip_special_tokens: bool = False, **_: Any) -> list[str]:
        """Returns the text of each row of tokens."""
        rows = sequences.tolist() if hasattr(sequences, "tolist") else sequences
        return [self.decode(row, skip_special_tokens) for row in rows]

    def apply_chat_template(self, conversation: Any, tools: Any = None, *, chat_template: str | None = None,
                            add_generation_prompt: bool = False, continue_final_message: bool = False,
                            tokenize: bool = True, return_tensors: str | None = None, return_dict: bool = True,
                            **variables: Any) -> Any:
        """Returns a chat as the model's template writes it.

        Parameters
        ----------
        conversation : list of dict, or list of such lists
        tools : list of dict, optional
            Functions that the model may call.
        chat_template : str, optional
            The text of a template, or its file; None: the model's.
        add_generation_prompt : bool
            End with the beginning of an answer.
        continue_final_message : bool
            End within the last message.
        tokenize : bool
            False: the text, not its tokens.
        return_dict : bool
            A `BatchEncoding`, as Transformers 5 returns it; False: the tokens alone.
        **variables
            More of the template's.
        """
        one = bool(conversation) and isinstance(conversation[0], dict)
        texts = [self.render_chat(chat, add_generation_prompt, chat_template=chat_template, tools=tools,
                                  continue_final_message=continue_final_message, variables=variables)
                 for chat in ([conversation] if one else conversation)]
        if not tokenize:
            return texts[0] if one else texts
        encoded = self(texts[0] if one and return_tensors is None else texts, add_special_tokens=False,
                       padding=not one, return_tensors=return_tensors)
        return encoded if return_dict else encoded["input_ids"]


class AutoTokenizer:
    """Opens tokenizers by the name of their model."""

    @staticmethod
    def from_pretrained(model: str | os.PathLike[str], *, revision: str | None = None, padding_side: str = "left",
                        use_fast: bool = True, trust_remote_code: bool = False) -> PreTrainedTokenizer:
        """Returns the tokenizer of a model.

        Parameters
        ----------
        model : str or path
            A HuggingFace folder, or ``org/name`` of the HuggingFace cache.
        """
        if not use_fast:
            raise ValueError("use_fast is False; colrow reads tokenizer.json, which is the fast one")
        return PreTrainedTokenizer(model, revision, padding_side)
