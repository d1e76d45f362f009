#!/usr/bin/env python3
"""Scripts in the form of vLLM's own examples: its modules, flags of an engine by argparse and for its server; what colrow
does not have is refused in one sentence each."""
import json
import os
import re
import subprocess
import sys
from argparse import ArgumentParser

from python_case import DEMO, HERE, ROOT, SMALL, need_demo, refused
from support import check, finish, run

need_demo()
from colrow import LLM, AsyncEngineArgs, EngineArgs, SamplingParams  # noqa: E402
from colrow.engine.arg_utils import EngineArgs as SameArgs  # noqa: E402
from colrow.engine.async_llm_engine import AsyncLLMEngine  # noqa: E402
from colrow.entrypoints.llm import LLM as SameLLM  # noqa: E402
from colrow.entrypoints.openai.api_server import serve_arguments  # noqa: E402
from colrow.inputs import TextPrompt, TokensPrompt  # noqa: E402
from colrow.utils import FlexibleArgumentParser, random_uuid  # noqa: E402
from colrow.v1.engine.async_llm import AsyncLLM  # noqa: E402

check(SameLLM is LLM and SameArgs is EngineArgs and AsyncLLM is AsyncLLMEngine and random_uuid() != random_uuid(), "names")


def script(*flags):
    environment = {**os.environ, "PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, os.path.join(HERE, "engine_flags_script.py"), *map(str, flags)], capture_output=True,
                          text=True, env=environment, check=False)


def generated(*flags):
    done = run("generate", DEMO, "-q", "--json", "-n", 24, "-t", 0, *flags)
    return [output["text"] for output in json.loads(done.stdout)["outputs"]] if check(done.returncode == 0, done.stderr) else []


# flags
for ranks in (1, 2):
    done = script("--model", DEMO, "--tensor_parallel_size", ranks, "--max-model-len=1k", "--gpu-memory-utilization", 0.2, "--max-tokens",
                  24, "--temperature", 0, "--kv-cache-memory-bytes", "32M", "--no-enable-prefix-caching", "--trust-remote-code",
                  "--enforce-eager", "--load_format", "safetensors")
    check(done.returncode == 0 and f"Ranks: {ranks}\n" in done.stdout, f"{done.stdout}{done.stderr}")
    texts = [eval(text) for text in re.findall("Generated text: (.*)", done.stdout)]
    check(texts == generated("-p", "What is tensor parallelism?", "-p", "Each rank"), f"{ranks} ranks: {done.stdout}")
    (chat,) = [eval(text) for text in re.findall("^Chat: (.*)", done.stdout, re.M)]
    check(chat == generated("--chat", "--system", "You explain.", "-p", "What is a rank?")[0], f"{ranks} ranks: {chat!r}")
for words, flags in ((["load_format", "'dummy'"], ["--load-format", "dummy"]), (["runner", "'pooling'"], ["--runner", "pooling"]),
                     (["some/other", "download"], ["--model", "some/other"])):
    done = script("--model", DEMO, *flags)
    last = done.stderr.strip().split("\n")[-1]
    check(done.returncode == 1 and last.startswith("ValueError: ") and all(word in last for word in words), f"{flags}: {done.stderr}")
parser = EngineArgs.add_cli_args(ArgumentParser())
args = EngineArgs.from_cli_args(parser.parse_args(["--model", DEMO, "-tp", "2", "--max-num-seqs", "8"]))
check(args.model == DEMO and args.arguments == {"tensor_parallel_size": 2, "max_num_seqs": 8}, f"from_cli_args: {args.arguments}")
args = AsyncEngineArgs.from_cli_args(parser.parse_args(["--model", DEMO, "--max-model-len", "auto"]))
check(isinstance(args, AsyncEngineArgs) and args.options()[0].max_model_len == -1, "AsyncEngineArgs, auto")
group = FlexibleArgumentParser().add_argument_group("engine")
check(EngineArgs.add_cli_args(group) is group, "a group of flags")
options = EngineArgs(DEMO, enable_expert_parallel=True, expert_parallel_size=2).options()[0]
check(options.enable_expert_parallel == 1 and options.expert_parallel_size == 2, "experts")

# prompts and methods
with LLM(DEMO, **SMALL) as llm:
    one = SamplingParams(temperature=0, max_tokens=6)
    by_text = llm.generate(TextPrompt(prompt="Each rank"), one, use_tqdm=False)[0]
    by_ids = llm.generate([TokensPrompt(prompt_token_ids=by_text.prompt_token_ids)], one, use_tqdm=False)[0]
    check(by_text.outputs[0].token_ids == by_ids.outputs[0].token_ids, "TextPrompt, TokensPrompt")
    refused(check, ValueError, ["beam search", "n="], lambda: llm.beam_search(["a"], None))
    for call in (llm.embed, llm.encode, llm.classify, llm.score, llm.reward):
        refused(check, ValueError, ["generates text", "embed()"], lambda method=call: method("a", "b"))
    refused(check, ValueError, ["1 processes", "2 ranks"],
            lambda: LLM(DEMO, tensor_parallel_size=2, distributed_executor_backend="external_launcher", **SMALL))

# the server's flags
found = serve_arguments(["--model", "m", "--trust_remote_code", "--tensor_parallel_size", "2", "--disable-log-stats", "--load-format", "auto",
                         "--uvicorn-log-level=info", "--max-model-len", "100", "--tokenizer", "m", "--no-enable-prefix-caching",
                         "--enable-chunked-prefill", "--enforce-eager", "--api-key", "--x", "--distributed-executor-backend", "mp"])
check(found == ["--model", "m", "--tensor_parallel_size", "2", "--max-model-len", "100", "--no-enable-prefix-caching", "--enforce-eager",
                "--api-key", "--x"], f"{found}")
for flags in (["--model", "org/m", "--revision=v1"], ["--revision", "v1", "--model=org/m"]):
    check("".join(serve_arguments(flags)).replace("=", "") == "--modelorg/m@v1", f"{serve_arguments(flags)}")
for words, flags in ((["load-format", "dummy"], ["--load-format", "dummy"]), (["--model"], ["--revision", "x"]), (["chunked"], ["--no-enable-chunked-prefill"]),
                     (["enable-lora"], ["--enable-lora"]), (["tokenizer", "other"], ["--model", "m", "--tokenizer", "other"])):
    refused(check, ValueError, words, lambda given=flags: serve_arguments(given))
server = [sys.executable, "-m", "colrow.entrypoints.openai.api_server", "--model", DEMO, "--load-format", "dummy"]
done = subprocess.run(server, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": f"{ROOT}/python"}, check=False)
check(done.returncode == 1 and done.stderr.startswith("colrow: error: --load-format is dummy") and done.stderr.count("\n") == 1, done.stderr)
finish("vLLM's forms")
