#!/usr/bin/env python3
"""`colrow plan` and `colrow inspect`: numbers of parameters as Transformers counts them, kinds of layers, --explain, and
rules that come from a file."""
import glob
import json
import os
import tempfile

from support import DEMO, ROOT, SHARED, check, finish, run

GOLDENS = os.path.join(SHARED, "goldens")


def plan_of(model, *flags):
    done = run("plan", model, *flags)
    check(done.returncode == 0, f"plan {model} {flags}: {done.stderr.strip()}")
    return done.stdout if done.returncode == 0 else ""


def plan_json(model, *flags):
    text = plan_of(model, "--json", *flags)
    return json.loads(text) if text else {}


def is_unknown(done):
    return done.returncode != 0 and "model_type" in done.stderr and "serves" in done.stderr or "expected one of" in done.stderr


def check_counts():
    """tests/data/parameter_counts.json: sums of numel() over model.parameters() of Transformers 5.24 on the meta device."""
    with open(os.path.join(ROOT, "tests/data/parameter_counts.json"), encoding="utf-8") as file:
        counts = json.load(file)
    places = {"configs": os.path.join(SHARED, "data/configs"), "goldens": GOLDENS}
    n = 0
    for name, expected in counts.items():
        kind, rest = name.split("/")
        path = os.path.join(places[kind], rest)
        if not os.path.exists(path):
            continue
        done = run("plan", path, "-tp", 1, "--json")
        if done.returncode:
            check(is_unknown(done), f"{name}: {done.stderr.strip()}")
            continue
        found = json.loads(done.stdout)["parameter_count"]
        check(found == expected, f"{name}: {found} parameters, expected {expected}")
        n += 1
    print(f"{n} of {len(counts)} models have as many parameters as in Transformers"
          if n else "skipped: counts of parameters, shared/ is not here")


def check_reading():
    """What decoding reads of two real mixtures, by hand: matrices in bfloat16, vectors in f32, of the embedding a row a token."""
    for name, layers, hidden, heads, kv_heads, expert, total, active in (
            ("qwen3-30b", 48, 2048, 32, 4, 768, 30532122624, 3353032704),
            ("qwen3-235b", 94, 4096, 64, 4, 1536, 235093634560, 22190763520)):
        path = os.path.join(SHARED, "data/configs", f"{name}.config.json")
        if not os.path.exists(path):
            print("skipped: reading of real models, shared/ is not here")
            return
        attention = 2 * hidden * heads * 128 + 2 * hidden * kv_heads * 128
        vectors = layers * (2 * hidden + 2 * 128) + hidden
        for flags in (("-tp", 1), ("-tp", 4), ("-tp", 4, "--enable-expert-parallel"), ("-tp", 4, "-pp", 2)):
            plan = json.loads(run("plan", path, "--json", *flags).stdout)
            check((plan["parameter_count"], plan["active_parameter_count"]) == (total, active),
                  f"{name}: {plan['parameter_count']} parameters, {plan['active_parameter_count']} of a token")
            ranks = 1 if flags == ("-tp", 1) else 4  # routers, q_norm, k_norm and norms are on each
            for row in plan["reading"]:
                touched = 128 * (1 - (120 / 128) ** row["batch"])
                check(abs(row["experts_touched"] - touched) < 1e-3, f"{name}: {row['experts_touched']} experts, expected {touched}")
                matrices = layers * (attention + ranks * 128 * hidden + touched * 3 * hidden * expert)
                bytes_read = 2 * (matrices + 151936 * hidden + row["batch"] * hidden) + ranks * 4 * vectors
                check(abs(row["bytes_per_step"] / bytes_read - 1) < 1e-5,
                      f"{name} {flags}: {row['bytes_per_step']} bytes with {row['batch']} sequences, expected {bytes_read}")
                check(abs(row["bytes_per_token"] * row["batch"] / bytes_read - 1) < 1e-5, f"{name}: {row['bytes_per_token']} a token")
                check(row["bytes_per_step"] / len(plan["ranks"]) <= row["rank_bytes_per_step"] * 1.0001, f"{name}: {row}")
    text = run("plan", path, "-tp", 2).stdout
    check("experts of 128" in text and "read/token" in text, f"what decoding reads is in the table: {text[-600:]}")


def check_sizes():
    """Every real config.json of a known family, at every usual size: a plan, or the sizes that do."""
    n = 0
    for path in sorted(glob.glob(os.path.join(SHARED, "data/configs/*.json"))):
        if is_unknown(run("plan", path)):
            continue
        for size in (1, 2, 4, 8, 16):
            done = run("plan", path, "-tp", size)
            n += 1
            if done.returncode == 0:
                check(f"tensor parallel size {size} of " in done.stdout, f"{path} -tp {size}: another size")
                check(("sums have 16 leaves, as so many ranks need" in done.stdout) == (size == 16),
                      f"{path} -tp {size}: the leaves")
            else:
                check("valid sizes: 1, 2" in done.stderr, f"{path} -tp {size}: {done.stderr.strip()}")
    print(f"{n} plans of real configs" if n else "skipped: real configs, shared/ is not here")


def check_explanations(folder):
    text = plan_of(DEMO, "-tp", 2, "--explain", "k_proj")
    for words in ("model.layers.*.self_attn.k_proj.weight", "colrow's own plan: colwise", "placement  shard(0)",
                  "before     input_layernorm -> q,k,v", "after      q,k,v -> attention", "rank 0", "rank 1",
                  "layers 0-"):
        check(words in text, f"--explain k_proj does not say '{words}'")
    text = plan_of(DEMO, "-tp", 2, "--explain", "model.layers.0.self_attn.o_proj.weight")
    check("all-reduce" in text and "layers 0\n" in text, "--explain of one layer's o_proj")
    text = plan_of(DEMO, "-tp", 2, "--explain", "*norm*")
    check(text.count("placement") == 3, "--explain *norm*: three kinds of norms")
    check("embed_tokens -> residual: shard(0) -> replicate, all-gather" in
          plan_of(DEMO, "-tp", 2, "--explain", "embed_tokens"), "--explain embed_tokens")
    check("lm_head -> logits" in plan_of(DEMO, "-tp", 2, "--explain", "lm_head"), "--explain lm_head")
    path = os.path.join(folder, "rules.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"model.layers.*.self_attn.k_proj.weight": "replicate"}, file)
    text = plan_of(DEMO, "-tp", 2, "--tp-plan", path, "--explain", "layers.*.self_attn")
    check(f'"model.layers.*.self_attn.k_proj.weight": "replicate", of {path}' in text, "--explain names the rule")
    check(f"none in {path}; colrow's own plan: colwise" in text, "--explain names the default")
    text = plan_of(DEMO, "-tp", 2, "--tp-plan-replace", path, "--explain", "q_proj")
    check(f"none in {path}, which replaces colrow's plan: replicate" in text, "--explain with rules that replace")
    (one,) = [p for p in json.loads(plan_of(DEMO, "-tp", 2, "--tp-plan", path, "--explain", "k_proj", "--json"))
              if p["name"] == "model.layers.0.self_attn.k_proj.weight"]
    check((one["rule"], one["style"], one["placement"]) ==
          ("model.layers.*.self_attn.k_proj.weight", "replicate", "replicate"), "--explain --json")
    check([edge["action"] for edge in one["after"]] == ["nothing"] and len(one["ranks"]) == 2, "--explain --json: edges")
    path = os.path.join(GOLDENS, "gpt-neox")
    if os.path.exists(path):
        text = plan_of(path, "-tp", 2, "--explain", "query_key_value.weight")
        check("head by head: of each 16 rows of q_proj, 16 rows of k_proj, 16 rows of v_proj" in text, "--explain by head")
        check("rows 0-95, columns" in text and "rows 96-191, columns" in text, "--explain by head: rows of ranks")
        (one, *_) = json.loads(plan_of(path, "-tp", 2, "--explain", "query_key_value.weight", "--json"))
        check([rank["rows"] for rank in one["ranks"]] == [[[0, 96]], [[96, 192]]], "--explain --json by head")
        check(one["parts"][1] == {"name": "k_proj", "rows": 16}, "--explain --json: parts")
    done = run("plan", DEMO, "-tp", 2, "--explain", "self_atn.k_prj")
    check(done.returncode == 2 and "model.layers.*.self_attn.k_proj.weight" in done.stderr, "--explain of a wrong name")
    check(run("plan", DEMO, "--explain", "k_proj").returncode == 2, "--explain without a size")


def check_rules(folder):
    path = os.path.join(folder, "rules.json")

    def styles(rules, flag):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(rules, file)
        return {p["name"].split(".", 3)[-1]: p["style"] for p in plan_json(DEMO, "-tp", 2, flag, path)["parameters"]
                if ".0." in p["name"] or "layers" not in p["name"]}
    rules = {"layers.*.mlp.gate_proj": "replicate", "layers.*.mlp.up_proj": "replicate",
             "layers.*.mlp.down_proj": "rowwise_rep"}
    over, instead = styles(rules, "--tp-plan"), styles(rules, "--tp-plan-replace")
    check(over["self_attn.q_proj.weight"] == "colwise" and over["mlp.down_proj.weight"] == "rowwise_split_input",
          "--tp-plan keeps what is not named")
    check(instead["self_attn.q_proj.weight"] is None and instead["mlp.down_proj.weight"] == "rowwise_split_input",
          "--tp-plan-replace replicates what is not named")
    check(plan_of(DEMO, "-tp", 2, "--tp-plan", "auto") == plan_of(DEMO, "-tp", 2), "--tp-plan auto")
    for command in (("plan", DEMO, "-tp", 2), ("generate", DEMO, "-p", "x", "-q")):
        done = run(*command, "--tp-plan", path, "--tp-plan-replace", path)
        check(done.returncode == 2 and "expected one" in done.stderr, f"{command[0]}: both flags")
    ids = "1,5,9,12,4"
    digests = set()
    for flags in ((), ("-tp", 2), ("-tp", 2, "--tp-plan", path), ("-tp", 2, "--tp-plan-replace", path),
                  ("-tp", 2, "--tp-plan", "auto")):
        out = os.path.join(folder, "logits")
        done = run("logits", DEMO, "-q", "--input-ids", ids, "-o", out, *flags)
        check(done.returncode == 0, f"logits {flags}: {done.stderr.strip()}")
        with open(out, "rb") as file:
            digests.add(file.read())
    check(len(digests) == 1, "bits depend on the plan")


def check_kinds():
    """A model with several kinds of layers names them; one kind needs no table."""
    check("kind  layers" not in plan_of(DEMO, "-tp", 1), "one kind of layers is a table")
    check(len(plan_json(DEMO, "-tp", 1)["layer_kinds"]) == 1, "layer_kinds of the demo")
    for name in ("gemma2", "gemma3", "olmo3", "smollm3"):
        path = os.path.join(GOLDENS, name)
        if not os.path.exists(path) or is_unknown(run("plan", path)):
            continue
        text = plan_of(path, "-tp", 1)
        check("kind  layers" in text and "window" in text, f"{name}: kinds of layers")
        kinds = plan_json(path, "-tp", 1)["layer_kinds"]
        check(len(kinds) == 2, f"{name}: {len(kinds)} kinds of layers")
        layers = sorted(layer for kind in kinds for layer in kind["layers"])
        check(layers == list(range(len(layers))), f"{name}: layers {layers}")
        done = run("inspect", path)
        check("kind  layers" in done.stdout, f"{name}: inspect does not name the kinds of layers")
        check(len(json.loads(run("inspect", path, "--json").stdout)["layer_kinds"]) == 2, f"{name}: inspect --json")


with tempfile.TemporaryDirectory() as temporary:
    check_explanations(temporary)
    check_rules(temporary)
check_kinds()
check_counts()
check_reading()
check_sizes()
finish("colrow plan")
