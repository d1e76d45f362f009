#!/usr/bin/env python3
"""Writes tests/data/demo_vectors.json: what Hugging Face's libraries say about models/demo.

    /tmp/demo-venv/bin/python tools/make_demo_vectors.py [--model models/demo] [--out FILE]

Run it whenever the weights or the tokenizer change. "tokenizer": ids without and with special tokens
added, the ids decoded without special tokens, and the second list decoded with them. "chat": messages
and what the chat template makes of them. "greedy": a conversation or a raw prompt, its ids, and the
float32 greedy continuation with its end token; a bfloat16 run must agree, or the script fails.
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parent.parent

TEXTS = [
    "", " ", "  ", "     ", "\n", "\n\n", "\n\n\n \n", "\t", "\t\tx", " \n \n ", "\r\n", "a\r\nb\r\n\r\nc",
    "a", " a", "a ", "  a  b   c ", "Hello", "Hello world", " Hello, world! ", "hello WORLD hElLo",
    "What is tensor parallelism?", "Explain the difference between data and model parallelism.",
    "I'm sure you're right, he'll say WE'VE won; I'D it'S 't", "don't can't 'tis rock'n'roll",
    "all-reduce, all-gather; reduce-scatter: (broadcast) [barrier] {rank}",
    "0", "12", "123", "1234", "1234567890", "3.14159", "1,000,000", "2024-06-07T10:09:00Z", "0x1F",
    "٣٤٥ १२३ ①②③ ½ ²", "def f(x):\n    return x + 1\n\n\nclass A:\n\tpass\n",
    "for (int i = 0; i < n; ++i) {\n        sum += a[i] * b[i];  // dot\n}",
    '{"key": [1, 2, {"a": null}], "s": "\\u00e9"}', "https://example.com/path?x=1&y=%20#frag",
    "C:\\Windows\\System32", "!!!???...", "((()))[[]]{{}}<<>>", "$100 €200 £300", "=====-----_____",
    "Ünïcödé façade naïve Ærøskøbing", "e\u0301 \u00e9 n\u0303 (combining)", "Ελληνικά κείμενο",
    "Русский текст с числами 42", "日本語のテキスト。漢字とカナ", "中文分词测试，标点。", "한국어 텍스트",
    "العربية نص", "हिन्दी पाठ", "ไทยข้อความ", "🎉", "hi 👋🏽 there 🚀🚀", "👩\u200d👩\u200d👧\u200d👦 family 🇫🇷🇯🇵",
    "\u00a0non\u2003breaking\u3000spaces\u200b", "null\u0000byte \u0007bell \u007f", "\ufeffbom \ufffd",
    "\U00010348 𝕬𝖇𝖈", "<|begin_of_text|>", "<|user|>\nHello<|end|>\n<|assistant|>\n",
    "text<|end|>text <|end_of_text|> text", "<|system|><|system|>", "<|not_special|> <|end| > <|END|>",
    "x" * 70, "ab " * 24, " " * 33 + "x", "tensorparallelism tensor-parallelism TENSOR PARALLELISM",
]

TENSOR = {"role": "user", "content": "What is tensor parallelism?"}
CHATS = [
    ([TENSOR], True),
    ([TENSOR], False),
    ([{"role": "user", "content": "Explain the difference between data and model parallelism."}], True),
    ([{"role": "system", "content": "You are a helpful assistant."}, TENSOR], True),
    ([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello! Ask me."},
      {"role": "user", "content": "  Who are you? \n"}], True),
    ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": " Hi! "}], False),
    ([{"role": "user", "content": ""}], True),
    ([{"role": "user", "content": "two\nlines\n\tand a tab, \"quotes\", 'single', \\ and {{ braces }} 🎉"}], True),
    ([{"role": "system", "content": "a"}, {"role": "system", "content": "b"},
      {"role": "tool", "content": "c"}], True),
]

PROMPTS = [
    [TENSOR],
    [{"role": "user", "content": "Explain the difference between data and model parallelism."}],
    [{"role": "user", "content": "what happens when a rank dies"}],
    [{"role": "system", "content": "You are a helpful assistant."},
     {"role": "user", "content": "Hello!"}],
    [{"role": "user", "content": "What is the capital of Denmark?"}],
    [TENSOR, {"role": "assistant", "content": None},  # None: what the model answers
     {"role": "user", "content": "Tell me more."}],
    "Tensor parallelism",
    "The KV cache",
]
NEW_TOKENS_MAX = 200


def greedy(model, ids: list[int]) -> list[int]:
    out = model.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long),
                         max_new_tokens=NEW_TOKENS_MAX, do_sample=False, pad_token_id=1)
    return out[0, len(ids) :].tolist()


def chat_ids(tokenizer, messages: list[dict]) -> list[int]:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def answer(model, tokenizer, messages: list[dict]) -> str:
    return tokenizer.decode(greedy(model, chat_ids(tokenizer, messages)), skip_special_tokens=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "demo")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "data" / "demo_vectors.json")
    args = parser.parse_args()
    torch.set_num_threads(2)

    raw = Tokenizer.from_file(str(args.model / "tokenizer.json"))
    cases = []
    for text in TEXTS:
        ids = raw.encode(text, add_special_tokens=False).ids
        ids_special = raw.encode(text, add_special_tokens=True).ids
        cases.append({"text": text, "ids": ids, "ids_special": ids_special,
                      "decoded": raw.decode(ids, skip_special_tokens=True),
                      "decoded_all": raw.decode(ids_special, skip_special_tokens=False)})

    tokenizer = AutoTokenizer.from_pretrained(args.model)
    chats = [{"messages": messages, "add_generation_prompt": prompt,
              "rendered": tokenizer.apply_chat_template(messages, tokenize=False,
                                                        add_generation_prompt=prompt)}
             for messages, prompt in CHATS]

    exact = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
    half = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.bfloat16)
    runs = []
    for prompt in PROMPTS:
        if isinstance(prompt, str):
            ids, case = tokenizer(prompt)["input_ids"], {"prompt": prompt}
        else:
            prompt = [dict(m) for m in prompt]
            for at, message in enumerate(prompt):
                if message["content"] is None:
                    message["content"] = answer(exact, tokenizer, prompt[:at])
            ids, case = chat_ids(tokenizer, prompt), {"messages": prompt}
        new = greedy(exact, ids)
        assert new == greedy(half, ids), f"float32 and bfloat16 differ for {prompt}"
        assert new[-1] in exact.generation_config.eos_token_id, f"no end token for {prompt}"
        text = tokenizer.decode(new, skip_special_tokens=True)
        runs.append({**case, "ids": ids, "greedy_ids": new, "text": text})
        print(f"{prompt if isinstance(prompt, str) else prompt[-1]['content']}\n  -> {text}\n")

    args.out.parent.mkdir(parents=True, exist_ok=True)
    with open(args.out, "w", encoding="utf-8") as file:
        parts = (("tokenizer", cases), ("chat", chats), ("greedy", runs))
        file.write("{\n" + ",\n".join(
            f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in part) + "\n]"
            for name, part in parts) + "\n}\n")
    print(f"wrote {len(cases)} + {len(chats)} + {len(runs)} cases to {args.out}")


if __name__ == "__main__":
    main()
