#!/usr/bin/env python3
"""What generation_config.json says holds where a request says nothing."""
import json
import os
import tempfile

from support import DEMO, check, finish, run, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")

PROMPT = ["-p", "What is tensor parallelism?", "--ignore-eos"]


def in_folder(text, command, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(DEMO):
            if name != "generation_config.json":
                os.symlink(os.path.join(DEMO, name), os.path.join(folder, name))
        with open(os.path.join(folder, "generation_config.json"), "w", encoding="utf-8") as file:
            file.write(text)
        return run(command, folder, *arguments)


def generate(text, *flags):
    return in_folder(text, "generate", *PROMPT, *flags, "--json")


def tokens(text, *flags):
    done = generate(text, *flags)
    if not check(done.returncode == 0, f"{text} {flags}: {done.stderr}"):
        return None
    return json.loads(done.stdout)["outputs"][0]


def length(wanted, text, *flags):
    output = tokens(text, *flags)
    found = output and len(output["token_ids"])
    check(found == wanted, f"{text} {flags}: {found} new tokens, expected {wanted}")


def refused(text, flags, *words):
    done = generate(text, *flags)
    check(done.returncode != 0 and all(word in done.stderr for word in words), f"{text} {flags}: {done.stderr}")


def greedy(text, *flags):
    output = tokens(text, *flags, "-n", 8)
    check(output and output["token_ids"] == plain, f"{text} {flags}: not the greedy answer")
    return output


plain = tokens("{}", "-n", 8)["token_ids"]
prompt = tokens("{}", "-n", 1)["prompt_tokens"]
length(256, "{}")
length(3, '{"max_new_tokens": 3}')
length(3, '{"max_new_tokens": 3.0, "max_length": 5}')
length(5, '{"max_new_tokens": 3}', "-n", 5)
length(4, f'{{"max_length": {prompt + 4}}}')
length(6, f'{{"max_length": {prompt + 4}}}', "-n", 6)
length(2, '{"max_new_tokens": -1}', "-n", 2)
refused(f'{{"max_length": {prompt}}}', [], "max_length", str(prompt), "-n")
length(2, f'{{"max_length": {prompt}}}', "-n", 2)

# greedy does not look at them
for text in ('{"top_p": 0}', '{"do_sample": false, "top_p": 1.5}', '{"temperature": "0.7"}', '{"top_k": 50.0}', '{"top_k": -7}',
             '{"min_p": 3}', '{"temperature": 0.5, "top_p": 0.5}', '{"eos_token_id": [-1, 123456789]}'):
    greedy(text)
done = generate('{"top_p": 1.5}', "-n", "2")
check("top_p" in done.stderr and "1.5" in done.stderr and "ignored" in done.stderr, f"nothing is said: {done.stderr}")

# what changes Transformers' answers and is not here is named, and neutral values are not
done = generate('{"num_beams": 4, "min_length": 0, "stop_strings": null, "suppress_tokens": []}', "-n", "2")
check("num_beams" in done.stderr and "not supported" in done.stderr, f"nothing is said: {done.stderr}")
check(done.stderr.count("not supported") == 1, f"too much is said: {done.stderr}")

# sampling does: refused, unless the request brings its own or is greedy
SAMPLED = '{"do_sample": true, %s}'
for key, value, flag in (("top_p", "1.5", "--top-p"), ("temperature", '"0.7"', "-t"), ("top_k", "50.5", "--top-k"),
                         ("min_p", "-1", "--min-p"), ("top_p", "NaN", "--top-p")):
    text = SAMPLED % f'"{key}": {value}'
    refused(text, ["-n", "2"], key)
    length(2, text, "-n", 2, flag, 1)
    greedy(text, "-t", 0)
refused('{"repetition_penalty": 0}', ["-n", "2"], "repetition_penalty")
greedy('{"repetition_penalty": 0}', "--repetition-penalty", 1)
greedy(SAMPLED % '"top_p": 0')
greedy(SAMPLED % '"top_k": 1.0')
greedy(SAMPLED % '"temperature": 0')

# end ids that cannot be read stop requests that would end at them, and no other command
for text in ('{"eos_token_id": "2"}', '{"eos_token_id": [2, null]}', '{"bos_token_id": [1]}'):
    greedy(text)  # PROMPT has --ignore-eos
    for command in (["logits", "--input-ids", "1,2", "--output", "/dev/null"], ["tokenize", "-p", "hello"], ["inspect"]):
        done = in_folder(text, *command)
        check(done.returncode == 0, f"{text} {command}: {done.stderr}")
    done = in_folder(text, "generate", "-p", "hello", "-n", "2")
    if "eos" in text:
        check(done.returncode != 0 and "eos_token_id" in done.stderr and "ignore_eos" in done.stderr, f"{text}: {done.stderr}")
    else:
        check(done.returncode == 0, f"{text}: {done.stderr}")

finish("generation_config.json")
