#!/usr/bin/env python3
"""Trains the demo model in models/demo from the text in tools/demo_corpus.

    python3 -m venv /tmp/demo-venv
    /tmp/demo-venv/bin/pip install torch tokenizers safetensors numpy transformers
    /tmp/demo-venv/bin/python tools/train_demo.py [--steps N] [--out models/demo]

It trains a byte-level BPE tokenizer, then a Llama of three million parameters in float32, asks the
questions that were held out, and writes a Hugging Face folder in bfloat16. On two cores it takes
about half an hour. The seed is fixed; another machine or library version may still round otherwise
and end in slightly different weights.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from demo_corpus.corpus import Corpus, read_corpus, vary

HERE = Path(__file__).resolve().parent
SEED = 20240607

BOS, EOS, SYSTEM, USER, ASSISTANT, END = SPECIAL = (
    "<|begin_of_text|>", "<|end_of_text|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
VOCAB_SIZE = 1280
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] | trim + '<|end|>\n' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ '<|assistant|>\n' + message['content'] | trim + '<|end|>\n' }}"
    "{% else %}{{ '<|user|>\n' + message['content'] | trim + '<|end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}")

CONFIG = dict(
    vocab_size=VOCAB_SIZE, hidden_size=256, intermediate_size=576, num_hidden_layers=4,
    num_attention_heads=8, num_key_value_heads=4, head_dim=32, max_position_embeddings=1024,
    rope_theta=10000.0, rms_norm_eps=1e-5, tie_word_embeddings=True)

ROWS, ROW_TOKENS = 16, 256       # of most batches
LONG_ROWS, LONG_TOKENS = 4, 1024  # of every LONG_EVERY-th batch, for long conversations
LONG_EVERY = 8
LEARNING_RATE, WARMUP_STEPS, WEIGHT_DECAY = 2.5e-3, 150, 0.05
ROUNDED_PART = 0.25  # the last part of the training, run with weights rounded to bfloat16

UNKNOWN_WEIGHT = 4.0  # of entries in unknown.txt, which have many more questions than others


# Tokenizer

def train_tokenizer(corpus: Corpus) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE, special_tokens=list(SPECIAL), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    rng = random.Random(SEED)
    texts = []
    for entry in corpus.entries.values():
        texts += [entry.answer, entry.more] * 8
        texts += [vary(rng.choice(entry.train), corpus, rng) for _ in range(16)]
    tokenizer.train_from_iterator(texts, trainer)
    bos = (BOS, tokenizer.token_to_id(BOS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS}:1 $B:1", special_tokens=[bos])
    return tokenizer


# Texts: lists of (token, weight of the loss)

class Writer:
    """Draws documents from the corpus and turns them into tokens."""

    def __init__(self, corpus: Corpus, tokenizer: Tokenizer, rng: random.Random):
        self.corpus, self.tokenizer, self.rng = corpus, tokenizer, rng
        self.entries = list(corpus.entries.values())
        self.weights = [UNKNOWN_WEIGHT if e.file == "unknown" else 1.0 for e in self.entries]
        self.articles = [e for e in self.entries if e.file in ("parallelism", "serving", "colrow")]
        self.nothing_more = corpus.entries["Nothing more"].answer
        self.ids = {}

    def encode(self, text: str) -> list[int]:
        if text not in self.ids:
            self.ids[text] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return self.ids[text]

    def chat(self, turns: list[tuple[str, str]], system: str | None = None) -> list[tuple[int, float]]:
        head = BOS + (f"{SYSTEM}\n{system}{END}\n" if system else "")
        doc = [(t, 0.0) for t in self.tokenizer.encode(head, add_special_tokens=False).ids]
        for question, answer in turns:
            asked = self.tokenizer.encode(f"{USER}\n{question.strip()}{END}\n{ASSISTANT}\n",
                                          add_special_tokens=False).ids
            doc += [(t, 0.0) for t in asked]
            doc += [(t, 1.0) for t in self.encode(answer + END)]
            doc += [(t, 0.0) for t in self.encode("\n")]
        return doc

    def article(self) -> list[tuple[int, float]]:
        """Plain text, so that the model can also go on without a chat template."""
        entry = self.rng.choice(self.articles)
        text = BOS + entry.answer + (f"\n\n{entry.more}" if entry.more else "") + EOS
        ids = self.encode(text)
        return [(ids[0], 0.0)] + [(t, 1.0) for t in ids[1:]]

    def question(self) -> tuple[str, str, str]:
        entry = self.rng.choices(self.entries, self.weights)[0]
        return vary(self.rng.choice(entry.train), self.corpus, self.rng), entry.answer, entry.more

    def dialogue(self) -> list[tuple[str, str]]:
        turns = self.rng.choice(self.corpus.dialogues)
        return [(vary(self.rng.choice(ways), self.corpus, self.rng), a) for ways, a in turns]

    def turns(self, n_turns: int) -> list[tuple[str, str]]:
        out = []
        while len(out) < n_turns:
            if self.rng.random() < 0.15:
                out += self.dialogue()
                continue
            question, answer, more = self.question()
            out.append((question, answer))
            if self.rng.random() < (0.4 if more else 0.03):
                out.append((vary(self.rng.choice(self.corpus.more), self.corpus, self.rng),
                            more or self.nothing_more))
        return out

    def document(self, room: int) -> list[tuple[int, float]]:
        while True:
            if self.rng.random() < 0.10:
                doc = self.article()
            else:
                n_turns = self.rng.choice((1, 1, 1, 2, 3) if room <= ROW_TOKENS else (2, 3, 5, 8))
                system = self.rng.choice(self.corpus.systems) if self.rng.random() < 0.15 else None
                doc = self.chat(self.turns(n_turns), system)
            if len(doc) <= room:
                return doc

    def batch(self, n_rows: int, n_tokens: int):
        """Documents side by side in rows; no document sees another one of its row."""
        tokens = torch.zeros(n_rows, n_tokens, dtype=torch.long)
        weights = torch.zeros(n_rows, n_tokens)
        owner = torch.full((n_rows, n_tokens), -1)
        for row in range(n_rows):
            at = n = 0
            while at < n_tokens - 24:
                doc = self.document(n_tokens)
                if at + len(doc) > n_tokens:
                    if n_tokens - at > 120:
                        continue
                    break
                tokens[row, at : at + len(doc)] = torch.tensor([t for t, _ in doc])
                weights[row, at : at + len(doc)] = torch.tensor([w for _, w in doc])
                owner[row, at : at + len(doc)] = n
                at, n = at + len(doc), n + 1
        causal = torch.ones(n_tokens, n_tokens, dtype=torch.bool).tril()
        mask = (owner[:, :, None] == owner[:, None, :]) & causal
        return tokens, weights, mask[:, None]


# Model

def losses(model, tokens, weights, mask) -> torch.Tensor:
    hidden = model.model(input_ids=tokens, attention_mask=mask).last_hidden_state[:, :-1]
    chosen = weights[:, 1:] > 0
    logits = model.lm_head(hidden[chosen])
    return F.cross_entropy(logits, tokens[:, 1:][chosen])


def rounded(model) -> list[torch.Tensor]:
    """Rounds the weights to bfloat16 in place; returns the unrounded ones."""
    masters = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.bfloat16().float())
    return masters


def restore(model, masters):
    with torch.no_grad():
        for p, master in zip(model.parameters(), masters):
            p.copy_(master)


def exact_answers(model, writer: Writer, asked: list[tuple[str, str]]) -> list[bool]:
    """Whether greedy decoding gives the expected answer, to the end token, for each question.

    One forward pass over question and answer decides that: greedy decoding writes the answer exactly
    if each of its tokens is the likeliest one after those before it.
    """
    results = []
    docs = [writer.chat([turn]) for turn in asked]
    order = sorted(range(len(docs)), key=lambda i: len(docs[i]))
    right = {}
    with torch.no_grad():
        for begin in range(0, len(order), 32):
            part = order[begin : begin + 32]
            width = max(len(docs[i]) for i in part)
            tokens = torch.zeros(len(part), width, dtype=torch.long)
            weights = torch.zeros(len(part), width)
            for row, i in enumerate(part):
                tokens[row, : len(docs[i])] = torch.tensor([t for t, _ in docs[i]])
                weights[row, : len(docs[i])] = torch.tensor([w for _, w in docs[i]])
            best = model(input_ids=tokens).logits[:, :-1].argmax(-1)
            wrong = ((best != tokens[:, 1:]) & (weights[:, 1:] > 0)).any(-1)
            right.update((i, not bad) for i, bad in zip(part, wrong.tolist()))
    results = [right[i] for i in range(len(docs))]
    return results


def check(model, writer: Writer, n_per_entry: int, show: int = 0) -> dict[str, float]:
    """Asks held-out questions, as written and as people type them: small letters, no question mark."""
    rng = random.Random(SEED)
    asked, files = [], []
    for entry in writer.entries:
        held_out = rng.sample(entry.held_out, min(n_per_entry, len(entry.held_out)))
        for question in held_out:
            for text in (question, question.lower().rstrip("?.! ") or question):
                asked.append((text, entry.answer))
                files.append(entry.file)
    right = exact_answers(model, writer, asked)
    for (question, _), ok in zip(asked, right):
        if not ok and show > 0:
            print(f"    not exact: {question}")
            show -= 1
    out = {"all": sum(right) / len(right), "questions": len(right)}
    for name in dict.fromkeys(files):
        of_file = [ok for ok, f in zip(right, files) if f == name]
        out[name] = sum(of_file) / len(of_file)
    return out


def learning_rate(step: int, n_steps: int) -> float:
    if step < WARMUP_STEPS:
        return LEARNING_RATE * (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, n_steps - WARMUP_STEPS)
    return LEARNING_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def train(corpus: Corpus, tokenizer: Tokenizer, n_steps: int) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    bos, eos, end = (tokenizer.token_to_id(t) for t in (BOS, EOS, END))
    model = LlamaForCausalLM(LlamaConfig(
        **CONFIG, bos_token_id=bos, eos_token_id=[end, eos], initializer_range=0.02))
    model.generation_config = GenerationConfig(
        bos_token_id=bos, eos_token_id=[end, eos], do_sample=False, temperature=None, top_p=None)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.98), fused=True)
    writer = Writer(corpus, tokenizer, random.Random(SEED))
    began, mean = time.time(), 0.0
    for step in range(n_steps):
        long = step % LONG_EVERY == LONG_EVERY - 1
        batch = writer.batch(*((LONG_ROWS, LONG_TOKENS) if long else (ROWS, ROW_TOKENS)))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, n_steps)
        masters = rounded(model) if step >= n_steps * (1 - ROUNDED_PART) else None
        loss = losses(model, *batch)
        loss.backward()
        if masters:
            restore(model, masters)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        mean = loss.item() if step == 0 else 0.95 * mean + 0.05 * loss.item()
        if step % 50 == 49:
            print(f"step {step + 1:5d}  loss {mean:.4f}  {time.time() - began:6.0f} s", flush=True)
        if step % 500 == 499:
            print("  held out:", check(model, writer, 1), flush=True)
    rounded(model)
    return model


# Folder

def write_folder(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path):
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONFIG["max_position_embeddings"],
        "bos_token": BOS,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--out", type=Path, default=HERE.parent / "models" / "demo")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    corpus = read_corpus(HERE / "demo_corpus")
    n_train = sum(len(e.train) for e in corpus.entries.values())
    n_held_out = sum(len(e.held_out) for e in corpus.entries.values())
    print(f"{len(corpus.entries)} answers, {n_train} questions to learn, {n_held_out} held out")
    tokenizer = train_tokenizer(corpus)
    model = train(corpus, tokenizer, args.steps)
    writer = Writer(corpus, tokenizer, random.Random(SEED))
    for name, value in check(model, writer, 6, show=40).items():
        print(f"  {name:12s} {value:.4g}")
    write_folder(model, tokenizer, args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
