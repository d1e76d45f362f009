#!/usr/bin/env python3
"""What drafted tokens bring: decoding with and without --speculative-config, the same requests in turn, the same answers.

    bench/speculation.py [--config CONFIG.json] [--dir DIR] [-tp 2] [--rounds 5] [--tokens 4] [--colrow PROGRAM]

A synthesised model says noise, which copies nothing. So this one is made to say given answers: its attention and MLPs add
nothing (the same bytes are read and multiplied), and the row of lm_head of each token is the embedding of the one that is to
come before it. Each token of an answer has a number of its own; where the answer copies the prompt, it has the numbers there.
Prompts and answers come from this repository:

    summary     every fourth sentence of docs/guide.md, each begun in words of its own
    code edit   src/engine/scheduler.c with a function renamed and a line added here and there
    nothing     an answer that has no word of its prompt
    misleading  the prompt has every two tokens of the answer, and another one behind them

Figures are medians over the rounds of tokens per second after the first one, and the drafts' part that was right."""
import argparse
import http.client
import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PROMPT, ANSWER = 1600, 400  # tokens


def words_of(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return re.findall(r"\w+|\s+|[^\w\s]", file.read())


class Numbers:
    """Gives out token numbers, each once."""

    def __init__(self, vocabulary):
        self.next, self.end = 16, vocabulary

    def fresh(self, n=1):
        self.next += n
        if self.next > self.end:
            sys.exit(f"the vocabulary of {self.end} is too small")
        return list(range(self.next - n, self.next))


def summary(numbers):
    """Sentences end with a dot: of each four one is said again, behind three words of its own."""
    words = words_of("docs/guide.md")[:PROMPT]
    prompt, answer, begun, sentence = numbers.fresh(len(words)), [], 0, 0
    for i, word in enumerate(words):
        if word == "." or i == len(words) - 1:
            if sentence % 4 == 0:
                answer += numbers.fresh(3) + prompt[begun:i + 1]
            begun, sentence = i + 1, sentence + 1
    return prompt, answer


def code_edit(numbers):
    """One function has another name, of one token; every eighth line another one before it, of ten."""
    words = words_of("src/engine/scheduler.c")[:PROMPT]
    prompt, answer, lines = numbers.fresh(len(words)), [], 0
    for word, number in zip(words, prompt):
        answer += numbers.fresh() if word == "preempt" else [number]
        if "\n" in word:
            lines += 1
            answer += numbers.fresh(10) if lines % 8 == 0 else []
    return prompt, answer


def nothing(numbers):
    return numbers.fresh(PROMPT), numbers.fresh(ANSWER)


def misleading(numbers):
    answer, prompt = numbers.fresh(ANSWER), []
    for first, second in zip(answer, answer[1:]):
        prompt += [first, second, *numbers.fresh()]
    return prompt[:PROMPT], answer


TEXTS = {"summary": summary, "code edit": code_edit, "nothing": nothing, "misleading": misleading}


def tensors_of(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
    return {name: (8 + length + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0], entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}


def make_model(options, successors):
    """The model that says `successors`: token -> next one."""
    with open(options.config, encoding="utf-8") as file:
        config = {**json.load(file), "tie_word_embeddings": False}
    folder = os.path.join(options.dir, "speculation")
    marker = os.path.join(folder, "made")
    if os.path.exists(marker):
        return folder
    os.makedirs(options.dir, exist_ok=True)
    with open(os.path.join(options.dir, "speculation.config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    subprocess.run([options.colrow, "synth", file.name, folder, "--max-shard-size", str(1 << 40)], check=True)
    path = os.path.join(folder, "model.safetensors")
    tensors = tensors_of(path)
    with open(path, "r+b") as file:
        for name, (offset, size, _) in tensors.items():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                file.seek(offset)
                file.write(bytes(size))
        (embed, _, shape), (head, _, _) = tensors["model.embed_tokens.weight"], tensors["lm_head.weight"]
        width = 2 * shape[1]
        for token, following in successors.items():
            file.seek(embed + token * width)
            row = file.read(width)
            file.seek(head + following * width)
            file.write(row)
    open(marker, "w", encoding="ascii").close()
    return folder


class Server:
    def __init__(self, options, model, *flags):
        command = [options.colrow, "serve", model, "--port", "0", "-tp", str(options.tp), "--max-model-len", "4096", "--dtype", "bfloat16",
                   "--kv-cache-memory", "512MB", "--no-enable-prefix-caching", "--disable-log-requests", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            found = re.search(r"http://([\d.]+):(\d+)", line)
            if found:
                break
        else:
            sys.exit("the server has not started")
        self.address = found[1], int(found[2])
        while self.get("/health")[0] != 200:
            time.sleep(0.2)

    def get(self, path):
        connection = http.client.HTTPConnection(*self.address, timeout=600)
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def ask(self, prompt, n):
        """-> token ids, seconds from the first to the last"""
        connection = http.client.HTTPConnection(*self.address, timeout=600)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": prompt, "max_tokens": n, "temperature": 0, "ignore_eos": True, "stream": True, "return_token_ids": True}),
            {"Content-Type": "application/json"})
        ids, first = [], None
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                new = json.loads(line[6:])["choices"][0]["token_ids"] if b"choices" in line else None
                ids += new or []
                first = first or time.perf_counter()
        return ids, time.perf_counter() - first

    def drafts(self):
        text = self.get("/metrics")[1]
        return [float(re.search(rf"spec_decode_num_{name}_tokens_total{{.*}} (\S+)", text)[1]) for name in ("draft", "accepted")]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default=os.path.join(ROOT, "bench/configs/llama-3.2-1b.json"))
    parser.add_argument("--dir", default="/tmp/colrow-speculation")
    parser.add_argument("-tp", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=4, help="num_speculative_tokens")
    parser.add_argument("--colrow", default=os.path.join(ROOT, "build/release/colrow"))
    return parser.parse_args()


def main():
    options = parse()
    with open(options.config, encoding="utf-8") as file:
        numbers = Numbers(json.load(file)["vocab_size"])
    random.seed(1)
    texts = {name: make(numbers) for name, make in TEXTS.items()}
    successors = {}
    for name, (prompt, answer) in texts.items():
        answer[ANSWER:] = []
        prompt.append(numbers.fresh()[0])
        for token, following in zip([prompt[-1], *answer], answer):
            successors[token] = following
    model = make_model(options, successors)
    config = {"method": "ngram", "num_speculative_tokens": options.tokens, "prompt_lookup_min": 2, "prompt_lookup_max": 4}
    plain, drafting = Server(options, model), Server(options, model, "--speculative-config", json.dumps(config))
    print(f"{'text':<12}{'plain, tok/s':>14}{'drafted, tok/s':>16}{'ratio':>8}{'drafts right':>14}")
    for name, (prompt, answer) in texts.items():
        rates, before = {plain: [], drafting: []}, drafting.drafts()
        for _ in range(options.rounds):
            for server, found in rates.items():
                ids, seconds = server.ask(prompt, len(answer))
                if ids != answer:
                    sys.exit(f"{name}: another answer, from token {next(i for i, (a, b) in enumerate(zip(ids + [-1], answer)) if a != b)} on")
                found.append((len(ids) - 1) / seconds)
        ratio = statistics.median(b / a for a, b in zip(*rates.values()))
        drafted, right = (after - old for after, old in zip(drafting.drafts(), before))
        print(f"{name:<12}{statistics.median(rates[plain]):>14.1f}{statistics.median(rates[drafting]):>16.1f}{ratio:>8.2f}"
              f"{100 * right / drafted if drafted else 0:>12.0f} %", flush=True)
    plain.stop()
    drafting.stop()


if __name__ == "__main__":
    main()
