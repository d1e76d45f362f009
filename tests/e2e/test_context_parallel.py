#!/usr/bin/env python3
"""--decode-context-parallel-size: ranks divide the cache of latent attention by position. The bits are those of one
rank, whatever the chunks and the way in which latents meet; so are the answers of a server, with batches, prefix hits,
preemption, offloading and a rank that is killed; so many ranks hold so many times the tokens. On a small model of this
file's own, and on goldens where they are."""
import json
import os
import re
import signal
import sys
import tempfile

from serve_client import Server
from serving_alike import EP, ask_all, check_golden, check_model, compare, prompts_for, add_tokenizer
from support import SHARED, Safetensors, check, finish, logits_file, run

DCP = "--decode-context-parallel-size"
# As DeepSeek V3's, small. 1400 positions are three groups of pages, of which each rank has some.
CONFIG = {"architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3", "hidden_size": 64,
          "intermediate_size": 96, "moe_intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 8,
          "num_key_value_heads": 8, "vocab_size": 1264, "n_routed_experts": 8, "num_experts_per_tok": 2, "n_group": 1,
          "topk_group": 1, "first_k_dense_replace": 1, "q_lora_rank": 24, "kv_lora_rank": 48, "qk_nope_head_dim": 12,
          "qk_rope_head_dim": 8, "v_head_dim": 20, "max_position_embeddings": 4096, "torch_dtype": "bfloat16"}
LLAMA = os.path.join(os.environ.get("SOURCE_DIR", "."), "models/demo")


def write_model(folder):
    with open(os.path.join(folder, "of.json"), "w", encoding="utf-8") as file:
        json.dump(CONFIG, file)
    out = os.path.join(folder, "model")
    done = run("synth", file.name, out, "--seed", 3)
    check(done.returncode == 0, f"synth: {done.stderr.strip()}")
    return out


def check_bits(name, model, ids, chunks, *flags, exchanges=("auto",)):
    _, wanted = logits_file(model, ids, "-tp", 1, *flags)
    for tp, dcp in ((2, 2), (4, 2), (4, 4)):
        for chunk in chunks:
            for exchange in exchanges:
                os.environ["COLROW_CONTEXT_EXCHANGE"] = exchange
                _, digest = logits_file(model, ids, "-tp", tp, DCP, dcp, "--max-num-batched-tokens", chunk, *flags)
                check(digest == wanted, f"{name}: {len(ids)} tokens {flags} -tp {tp} {DCP} {dcp}, chunks of {chunk}, "
                                        f"{exchange}: other bits")
    del os.environ["COLROW_CONTEXT_EXCHANGE"]


def plan_of(model, *flags):
    done = run("plan", model, "--json", *flags)
    return json.loads(done.stdout) if check(done.returncode == 0, f"plan {flags}: {done.stderr.strip()}") else None


def check_plan(model):
    ranks = {dcp: plan_of(model, "-tp", 4, DCP, dcp)["ranks"] for dcp in (1, 2, 4)}
    kv = {dcp: {rank["kv_bytes_per_token"] for rank in ranks[dcp]} for dcp in ranks}
    whole = 2 * (48 + 8) * 2
    check(kv == {1: {whole}, 2: {whole // 2}, 4: {whole // 4}}, f"bytes a token: {kv}")
    sizes = plan_of(model, DCP, 2)["valid_tensor_parallel_sizes"]
    check(sizes and all(n % 2 == 0 for n in sizes), f"sizes for {DCP} 2: {sizes}")
    for folder, flags, words in (
            (model, ("-tp", 3, DCP, 2), ("3 ranks are not a multiple", "valid sizes: 2, 4, 6, 8")),
            (model, ("-tp", 1, DCP, 2), ("1 rank is not a multiple",)),
            (LLAMA, ("-tp", 2, DCP, 2), (f"{DCP} is 2", "no latent attention", "leave the flag out"))):
        for command in (("plan", folder), ("generate", folder, "-p", "a", "-n", 1)):
            done = run(*command, *flags)
            told = all(word in done.stderr for word in words) and done.stderr.count("error:") == 1
            check(done.returncode == 2 and told, f"{command} {flags}: {done.stderr}")


def tokens_that_fit(model, *flags):
    """In as much memory of all ranks together, and what one page of the second pool adds."""
    done = run("generate", model, "-p", "a", "-n", 1, "--max-model-len", 640, "--kv-cache-memory=4MB",
               "--kv-offloading-size", 0.002, *flags)
    found = [re.search(words, done.stderr) for words in (r"KV cache: (\d+) tokens", r"offloading: (\d+) tokens more")]
    if not check(all(found), f"generate {flags}: {done.stderr}"):
        return 0, 0
    return [int(f[1]) for f in found]


def check_room(model):
    splits = (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)
    found = {(tp, dcp): tokens_that_fit(model, "-tp", tp, DCP, dcp) for tp, dcp in splits}
    for (tp, dcp), tokens in found.items():
        for kind in (0, 1):
            whole = found[tp, 1][kind] * dcp
            check(abs(tokens[kind] - whole) <= 64 * dcp, f"-tp {tp} {DCP} {dcp}: {tokens} tokens, expected {whole}")


def check_server(model):
    """Pages that go to host memory and come back, perhaps to another rank; and a rank that is killed."""
    prompts = list(prompts_for(CONFIG["vocab_size"]))
    long_ones = [(prompts[i] * 20)[:600 + 40 * i] for i in range(8)]
    common = ("--max-model-len", 1400, "--disable-log-requests", "--max-num-seqs", 8)
    with Server("-tp", 1, "--no-enable-prefix-caching", *common, model=model) as server:
        expected = ask_all(server, long_ones, 80)
    for tp, dcp in ((2, 2), (4, 4)):
        what = f"-tp {tp} {DCP} {dcp}"
        # room for two long sequences, in all ranks
        room = tp // dcp * 2 * 24 * 64 * 2 * (48 + 8) * 2
        scarce = "--kv-cache-memory", room, "--kv-offloading-size", 0.01
        with Server("-tp", tp, DCP, dcp, *scarce, *common, model=model) as server:
            for turn in range(3):
                compare(f"{what}: turn {turn} over host memory", ask_all(server, long_ones, 80), expected)
            hits = server.metric("vllm:external_prefix_cache_hits_total")
            check(hits > 0, f"{what}: nothing came back from host memory")
        with Server("-tp", tp, DCP, dcp, *common, model=model) as server:
            compare(f"{what}: at once", ask_all(server, long_ones, 80), expected)
            os.kill(server.children()[-1], signal.SIGKILL)
            compare(f"{what}: after a rank was killed", ask_all(server, long_ones, 80), expected)


def check_verify(model):
    few = "--tokens", 70, "--generate", 3
    done = run("verify", model, "--tp", "1,2,4", DCP, "1,2,4", "--chunks", "512,7", *few, "--json")
    found = json.loads(done.stdout)
    splits = {(l["tensor_parallel_size"], l["decode_context_parallel_size"]) for l in found["groups"][0]["layouts"]}
    check(done.returncode == 0 and found["identical"] and splits == {(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4)},
          f"verify: {splits} {done.stderr}")
    check(run("verify", model, "--tp", "1,2", "--pp", "1,2", DCP, "1,2", *few).returncode == 0, "verify with stages")


def check_goldens():
    for name in ("deepseek-v2", "deepseek-v3", "glm4-moe-lite", "mistral4"):
        model = os.path.join(SHARED, "goldens", name)
        if not os.path.exists(model):
            print("not here:", name)
            continue
        golden = Safetensors(os.path.join(model, "golden.safetensors"))
        check_bits(name, model, list(golden["input_ids"]), (1, 7), "--dtype", "bfloat16")
        check_bits(name, model, list(golden["long_input_ids"]), (64, 512), "--dtype", "float32")


def main():
    with tempfile.TemporaryDirectory() as folder:
        model = write_model(folder)
        long_ids = [(7 + i * i) % 1200 + 4 for i in range(1400)]
        add_tokenizer(model)
        check_plan(model)
        check_room(model)
        check_bits("own", model, long_ids[:40], (1, 7), exchanges=("pages", "sums"))
        check_bits("own", model, long_ids, (64, 512), exchanges=("auto", "pages", "sums"))
        check_bits("own", model, long_ids[:600], (7,), "--kv-cache-dtype", "float32")
        check_bits("own", model, long_ids[:600], (100,), "--product-order", "tiles")
        check_verify(model)
        check_server(model)
        check_model("own", model, (1, 7, 64), ((2, DCP, 2), (4, EP, DCP, 2)))
    check_goldens()
    check_golden("deepseek-v3", (7,), ((2, DCP, 2),))
    finish("context parallel")


if __name__ == "__main__":
    sys.exit(main())
