#!/usr/bin/env python3
"""Random models of every family: colrow beside Transformers.

    python3 tools/differential_families.py [--family llama,qwen3] [--count 20] [--seed 1] [--colrow PATH] [--keep DIR]
    python3 tools/differential_families.py --replay tests/data/families/CASE.json

Needs torch, safetensors and transformers 5.24 (not part of `make test`). A case is a small random configuration
(family_configs.py) in one of the spellings that files come in, random weights in float32, bfloat16 or float16, and a
random text. Transformers computes the logits in float32 with eager attention. `colrow logits --dtype float32` computes them
twice: with one rank, and with a random number of ranks, tp_plan, chunk and instruction set, of experts also whole ones
on ranks. A case is

  equal        largest error at most 2.5e-5, or 1e-5 of the range, and the same bits with one rank and with more
  near         a larger error, but as far from Transformers in float64 as Transformers in float32 is, or as that
               itself goes when weights change by half a unit of float32's last place and the rope's frequencies by
               one: the model amplifies rounding
  small        a larger error than that, yet at most 5e-4, or 2e-4 of the range
  refused      colrow ends with a sentence; counted by its reason
  both refuse  so does Transformers
  different    all else: the script ends with 1

Families that this colrow does not know are named and skipped. --keep DIR has the checkpoint of each case that is
different, and the file from which tests/e2e/test_families.py makes it again without Transformers, once it lies in
tests/data/families.
"""
import argparse
import collections
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings

os.environ.update(TRANSFORMERS_VERBOSITY="error", HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/e2e"))
from config_spellings import spelled  # noqa: E402
from family_configs import FAMILIES, IMAGE_TOKENS  # noqa: E402
from tiny_checkpoint import write_checkpoint  # noqa: E402

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
torch.set_num_threads(1)
LARGEST, OF_RANGE = 5e-4, 2e-4
ROUNDING = 0.05  # as a part of that: a larger error is compared with Transformers in float64
ISAS = ["reference", "avx2", "avx512", "avx512bf16", "amx"]


# ---- the model on disk ----

def weight_rule(rng, name, shape, mean, gain, head):
    """[centre, spread]: weights large enough that logits spread, norms off their initial value, biases that matter."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf in ("beta", "eps"):
        return [mean, 0.0]
    if leaf == "dt_bias":  # states that last for some tokens
        return [-2.0, 1.0]
    if leaf == "bias" or leaf.endswith("_bias"):
        return [0.0, 0.2]
    if leaf == "sinks":
        return [0.0, 0.7]
    if leaf == "correct_output_scale":
        return [0.5, 0.2]
    if leaf in ("per_expert_scale", "scale"):
        return [1.0, 0.3]
    if leaf in ("alpha_p", "alpha_n"):
        return [mean, 0.3]
    if len(shape) <= 1:
        return [mean, 0.1 if leaf == "layer_scalar" else 0.2]
    fan_in = shape[-1] ** 0.5
    if "embed_tokens_per_layer" in name:
        return [0.0, 1 / fan_in]
    if any(part in name for part in ("embed", "lm_head")):  # embed_tokens, embed_in, embed_out, word_embeddings
        return [0.0, head / fan_in]
    return [0.0, (0.3 if "_coefs" in name else gain) / fan_in]


def header_of(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        offset = file.tell()
        header.pop("__metadata__", None)
        means = {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            if len(entry["shape"]) <= 1:
                file.seek(offset + begin)
                means[name] = torch.frombuffer(bytearray(file.read(end - begin)), dtype=torch.float32).mean().item()
    return {name: entry["shape"] for name, entry in header.items()}, means


class Mistral4(transformers.Mistral4ForCausalLM):  # which no auto class knows
    @classmethod
    def from_config(cls, config, **more):
        return transformers.Mistral4ForCausalLM._from_config(config, **more)

    @classmethod
    def from_pretrained(cls, folder, **more):
        return transformers.Mistral4ForCausalLM.from_pretrained(folder, **more)


def auto_class(family):
    if family.name == "mistral4":
        return Mistral4
    return AutoModelForImageTextToText if family.wrapper else AutoModelForCausalLM


def initial_files(family, fields, folder):
    """config.json and the names and shapes of weights, as Transformers saves them."""
    config = AutoConfig.for_model(family.model_type, **fields)
    model = auto_class(family).from_config(config, dtype=torch.float32, attn_implementation="eager")
    model.save_pretrained(folder)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        written = json.load(file)
    return written, *header_of(os.path.join(folder, "model.safetensors")), type(config)


def unread_keys_and_values(shapes, gain):
    """Gemma 3n and 4: files may have K and V of layers that take those of another layer."""
    rows = []
    for name, shape in shapes.items():
        layer = name.removesuffix("q_proj.weight")
        if layer == name or layer + "k_proj.weight" in shapes:
            continue
        like = next((other for other, s in shapes.items() if s == shape and other.endswith("self_attn.q_proj.weight")
                     and other.replace("q_proj", "k_proj") in shapes), None)
        for part in ("k_proj.weight", "v_proj.weight", "k_norm.weight"):
            found = shapes.get(like.replace("q_proj.weight", part)) if like else None
            if found:
                rows.append([layer + part, found, 0.0, gain / found[-1] ** 0.5])
    return rows


# Names that the text part of a wrapper has or had on disk; Transformers reads all of them, in some of the wrappers.
WRAPPER_NAMES = [("model.language_model.", "lm_head."), ("language_model.model.", "language_model.lm_head."),
                 ("model.", "lm_head.")]


def renamed(rows, names):
    def new(name):
        bare = re.sub(r"^(model\.language_model|language_model\.model|model)\.(?=embed_tokens|layers\.|norm\.)", names[0],
                      name)
        return re.sub(r"^(language_model\.)?lm_head\.", names[1], bare)
    return [[new(row[0]), *(new(part) if isinstance(part, str) and part != "as" else part for part in row[1:])]
            for row in rows]


def as_published(shapes, means):
    """save_pretrained of 5.24 writes OLMo Hybrid otherwise than its files are: a norm of layers that attend by the name of those
    that do not, and the three convolutions cut into equal parts."""
    fixed, fixed_means = {}, {}
    for name, shape in shapes.items():
        attends = name.split("feedforward_layer_norm")[0] + "self_attn.q_proj.weight" in shapes
        if re.search(r"[qkv]_conv1d\.weight$", name):
            shape = [shapes[name.replace("conv1d", "proj")][0], *shape[1:]]
        new = name.replace("feedforward_layer_norm", "post_attention_layernorm") if attends else name
        fixed[new], fixed_means[new] = shape, means.get(name, 0.0)
    return fixed, fixed_means


def weight_rows(rng, family, fields, shapes, means):
    text = fields.get("text_config", fields)
    shapes, means = as_published(shapes, means)
    head = rng.choice([1.0, 2.0, 3.0]) * text.get("logits_scaling", 1.0) / max(text.get("logit_scale", 1.0), 0.25)
    gain = rng.choice([0.8, 1.3, 1.3, 1.6])
    rows = [[name, shape, *weight_rule(rng, name, shape, means.get(name, 0.0), gain, head)] for name,
            shape in shapes.items()]
    embedding = next((name for name in shapes if name.endswith("embed_tokens.weight")), None)
    if embedding and fields.get("tie_word_embeddings") and not any("lm_head" in name
                                                                   for name in shapes) and rng.random() < 0.2:
        stored = embedding.replace("model.language_model.embed_tokens", "lm_head").replace("model.embed_tokens",
                                                                                           "lm_head")
        rows.append([stored, shapes[embedding], "as", embedding])
    if rng.random() < 0.1 and any(name.startswith("model.layers.0.self_attn.") for name in shapes):
        rows.append(["model.layers.0.self_attn.rotary_emb.inv_freq", [4], 0.5,
                     0.1])  # older files have it; nobody reads it
    if rng.random() < 0.4:
        rows += unread_keys_and_values(shapes, gain)
    if family.model_type in ("deepseek_v3", "glm4_moe_lite", "deepseek_v32", "glm_moe_dsa") and rng.random() < 0.3:  # predicts more tokens: nobody reads it
        rows.append([f"model.layers.{fields['num_hidden_layers']}.eh_proj.weight", [4, 8], 0.0, 1.0])
    if rng.random() < 0.05:
        rows.append(["score.weight", [2, 3], 0.0, 1.0])
    if rng.random() < 0.06 and not family.wrapper:
        rows = [[row[0].removeprefix("model."), *row[1:]] if row[2] != "as"
                else [row[0], row[1], "as", row[3].removeprefix("model.")] for row in rows]
    if family.wrapper and rng.random() < 0.25:
        rows = renamed(rows, rng.choice(WRAPPER_NAMES))
    if rng.random() < 0.3:
        rng.shuffle(rows)
    return rows


# ---- both sides ----

class Refused(Exception):
    pass


def reference(family, folder, ids, dtype=torch.float32):
    """Transformers' logits of the files in `folder`; Refused with its words."""
    try:
        model, info = auto_class(family).from_pretrained(folder, dtype=dtype, attn_implementation="eager",
                                                         experts_implementation="eager", output_loading_info=True)
        missing = [name for name in info["missing_keys"] if not name.endswith("inv_freq")]
        if missing or info.get("mismatched_keys"):
            raise Refused(f"random weights: {sorted(missing)[:1] or info['mismatched_keys']}")
        with torch.no_grad():
            return model.eval()(input_ids=torch.tensor([ids]), use_cache=False).logits[0].to(dtype), model
    except Refused:
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Refused(f"{type(error).__name__}: {' '.join(str(error).split())[:160]}") from error


class Choices(torch.overrides.TorchFunctionMode):
    """Of the rows of a text those in which an indexer's choice hangs on rounding: its last position scores about as the next."""

    def __init__(self, length):
        super().__init__()
        self.length, self.near = length, length

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.Tensor.topk and args[0].shape == (1, self.length, self.length):
            best = args[0][0].sort(dim=-1, descending=True).values
            k = args[1]
            for row in range(k, self.length):
                scores = best[row, : row + 1]
                if scores[k - 1] - scores[k] <= 3e-6 * scores.abs().max():
                    self.near = min(self.near, row)
                    break
        return func(*args, **(kwargs or {}))


def run_colrow(colrow, *arguments, isa=None):
    environment = dict(os.environ, **({"COLROW_ISA": isa} if isa else {}))
    return subprocess.run([colrow, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=300,
                          env=environment)


def sentence(done, folder):
    lines = done.stderr.strip().splitlines()
    text = (lines[-1] if lines else f"status {done.returncode}").replace(folder,
                                                                         "MODEL").removeprefix("colrow: error: ")
    if done.returncode < 0 or done.returncode > 2:
        text = f"CRASH ({done.returncode}) {text}"
    return text


def plan_flags(folder, how):
    if not how.get("tp_plan"):
        return []
    path = os.path.join(folder, "tp_plan.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(how["tp_plan"], file)
    return ["--tp-plan", path]


def expert_flags(how):
    groups = ["--expert-parallel-size", how["ep"]] if how.get("ep", 0) > 1 else []
    return ["--enable-expert-parallel", *groups] if how.get("ep") else []


def colrow_logits(colrow, folder, ids, how):
    out, text = os.path.join(folder, "out.safetensors"), os.path.join(folder, "ids.txt")
    with open(text, "w", encoding="ascii") as file:
        file.write(" ".join(map(str, ids)))
    flags = ["-tp", how["tp"], "--max-num-batched-tokens", how["chunk"], *plan_flags(folder, how)]
    if how.get("batch"):
        flags += ["--batch", how["batch"]]
    flags += expert_flags(how)
    done = run_colrow(colrow, "logits", folder, "--input-ids", text, "--output", out, "--dtype", "float32", "-q",
                      *flags, isa=how.get("isa"))
    if done.returncode:
        raise Refused(sentence(done, folder))
    with open(out, "rb") as file:
        data = file.read()
    os.unlink(out)
    (length,) = struct.unpack("<Q", data[:8])
    begin, end = json.loads(data[8 : 8 + length])["logits"]["data_offsets"]
    return torch.frombuffer(bytearray(data[8 + length + begin : 8 + length + end]), dtype=torch.float32).view(len(ids),
                                                                                                              -1)


def tp_plan(rng, plan):
    """Rules to lay over the family's plan: what is gathered, replicated or split otherwise gives the same bits."""
    changes = {}

    def style(modules, *styles):
        for pattern in plan:
            if pattern.rsplit(".", 1)[-1] in modules and plan[pattern].removeprefix("packed_").split("_")[0] in ("colwise", "rowwise"):
                changes[pattern] = rng.choice(styles)
    kind = rng.choice(["gather", "kv", "attention", "mlp", "head", "norms", "older"])
    if kind == "gather":
        style(("q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value"), "colwise_gather_output")
        style(("o_proj", "dense"), "rowwise_split_input")
    elif kind == "kv":
        style(("k_proj", "v_proj"), "replicate")
    elif kind == "attention":
        style(("q_proj", "k_proj", "v_proj", "o_proj", "dense", "query_key_value", "qkv_proj"), "replicate")
    elif kind == "mlp":
        style(("gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "c_fc", "c_proj"), "replicate")
    elif kind == "head":
        changes.update({name: rng.choice(["colwise", "colwise_gather_output", "rowwise_split_input", "replicate",
                                          "colwise_rep"]) for name in plan if name in ("lm_head", "embed_out")})
    elif kind == "norms":
        changes.update({name: "replicate" for name in plan if "norm" in name})
    else:
        older = {"colwise_gather_output": "colwise_rep", "rowwise_split_input": "rowwise_rep"}
        changes.update({name: older[value] for name, value in plan.items() if value in older})
    return changes or None


def split_of(rng, colrow, folder, model, n_tokens, isas):
    """How the second run is cut; Refused where colrow does not take the model."""
    how = {"tp": 1, "chunk": rng.choice([1, 2, 7, 16, 33, 64, 100, 512]), "isa": rng.choice(isas)}
    if n_tokens / how["chunk"] > 64:
        how["chunk"] = 7 if n_tokens < 400 else 64  # steps take time
    flags = []
    if rng.random() < 0.35:
        how["tp_plan"] = tp_plan(rng, dict(getattr(model, "tp_plan", None) or {}))
        flags = plan_flags(folder, how)
    if rng.random() < 0.2:
        how["batch"] = rng.choice([2, 3, 5])
    experts = [name for name, _ in model.named_parameters() if ".experts." in name] if model else []
    if experts and rng.random() < 0.4:
        how["ep"] = rng.choice([1, 1, 2, 3])  # 1: each rank has whole experts by itself
        flags = [*flags, *expert_flags(how)]
    done = run_colrow(colrow, "plan", folder, "--json", *flags)
    if done.returncode:
        raise Refused(sentence(done, folder))
    valid = [n for n in json.loads(done.stdout)["valid_tensor_parallel_sizes"] if n <= 8]
    how["tp"] = rng.choice(valid or [1])  # none: `colrow logits` says which rule is why
    return how


# ---- one case ----

class Case:
    def __init__(self, family, seed, index):
        self.family, self.name = family, f"{family.name}/{seed}/{index}"
        self.rng = random.Random(f"{family.name} {seed} {index}")
        self.seed = self.rng.randrange(2**31)

    def draw(self, folder):
        """Writes the model into `folder`."""
        rng = self.rng
        fields = self.family.draw(rng)
        try:
            config, shapes, means, kind = initial_files(self.family, fields, folder)
        except Exception as error:
            raise Refused(f"{type(error).__name__}: {' '.join(str(error).split())[-160:]}") from error
        self.dtype = rng.choice(["F32", "F32", "BF16", "BF16", "F16"])
        self.rows = weight_rows(rng, self.family, fields, shapes, means)
        self.config = spelled(rng, config, kind, self.dtype)
        text = fields.get("text_config", fields)
        vocabulary = text["vocab_size"] - (IMAGE_TOKENS if self.family.wrapper else 0)
        length = rng.choice([20, 20, 33, 64, 65, 100, 130, 200, min(500, text.get("max_position_embeddings", 500) - 1)])
        self.ids = [rng.randrange(vocabulary) for _ in range(length)]
        self.write(folder)

    def write(self, folder):
        write_checkpoint(folder, self.config, self.rows, self.seed, self.dtype)

    def shipped(self, logits, how):
        """What a test needs to make the case again: some of Transformers' logits."""
        rows = sorted({0, len(self.ids) // 2, len(self.ids) - 2, len(self.ids) - 1})
        step = max(1, logits.shape[1] // 32)
        return {"family": self.family.name, "case": self.name, "seed": self.seed, "dtype": self.dtype,
                "config": self.config, "weights": self.rows, "ids": self.ids, "how": how,
                "range": round((logits.max() - logits.min()).item(), 4), "rows": rows, "step": step,
                "logits": [[round(x, 5) for x in logits[r, ::step].tolist()] for r in rows]}


def error_of(found, wanted):
    return (found.double() - wanted.double()).abs().max().item()


def moved_by_rounding(model, ids, exact, seed):
    """How far logits in float64 go when each weight changes by half a unit of float32's last place at most, and each of the
    rope's frequencies, which Transformers computes in float32 whatever the model is in, by one."""
    noise = torch.Generator().manual_seed(seed)
    turned = [one for name, one in model.named_buffers() if name.endswith("inv_freq")]
    kept = [(one, one.clone()) for one in [*model.parameters(), *turned]]
    with torch.no_grad():
        for one, _ in kept:
            part = 2 * torch.rand(one.shape, generator=noise, dtype=torch.float64) - 1
            one.mul_((1 + (part * 2.0**-24 if one.dtype == torch.float64 else part.sign() * 2.0**-23)).to(one.dtype))
        moved = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
        for one, before in kept:
            one.copy_(before)
    return error_of(moved, exact)


def allowed(wanted):
    return max(LARGEST, OF_RANGE * (wanted.max() - wanted.min()).item())


def judge(case, folder, wanted, found, other):
    """(kind, sentence) of a case that both answered."""
    if found.shape != wanted.shape:
        return "different", f"shape {tuple(found.shape)}, Transformers {tuple(wanted.shape)}"
    if not torch.isfinite(wanted).all():
        return "not finite", "Transformers' logits are not finite"
    error = error_of(found, wanted)
    if error != error:
        return "different", "logits are not finite"
    if not torch.equal(found, other):
        rows = (found != other).any(1).sum().item()
        return "different", f"bits differ in {rows} rows, by {error_of(found, other):.3g} at most"
    if error <= ROUNDING * allowed(wanted):
        return "equal", ""
    exact, model = reference(case.family, folder, case.ids, torch.float64)
    own, ours = error_of(wanted, exact), error_of(found, exact)
    if ours <= 3 * own:
        return "near", f"error {error:.3g}; from float64: Transformers {own:.3g}, colrow {ours:.3g}"
    moved = max(moved_by_rounding(model, case.ids, exact, seed) for seed in range(4))
    if ours <= 3 * moved:
        return "near", f"error {error:.3g}; from float64: weights rounded otherwise {moved:.3g}, colrow {ours:.3g}"
    first = (found - wanted).abs().max(1).values > ROUNDING * allowed(wanted)
    return "small" if error <= allowed(wanted) else "different", (
        f"largest error {error:.3g}, allowed {allowed(wanted):.3g}, Transformers' own {own:.3g}, "
        f"by other roundings of weights {moved:.3g}; "
        f"first row {first.nonzero()[0].item()} of {len(case.ids)}")


def run_case(case, folder, options):
    """(kind, sentence, what to keep)"""
    case.draw(folder)
    return compare(case, folder, options)


def compare(case, folder, options, how=None):
    try:
        with Choices(len(case.ids)) as choices:
            wanted, model = reference(case.family, folder, case.ids)
        if 0 < choices.near < len(case.ids):
            case.ids = case.ids[: choices.near]
            wanted = wanted[: choices.near]
    except Refused as why:
        wanted, model, refusal = None, None, str(why)
    case.deviation, case.part = wanted.std().item() if wanted is not None else 0, 0
    try:
        if options.no_colrow:
            return ("both refuse", refusal, None) if wanted is None else ("equal", "", None)
        how = how or split_of(case.rng, options.colrow, folder, model, len(case.ids), options.isas)
        found = colrow_logits(options.colrow, folder, case.ids, {"tp": 1, "chunk": 512})
        other = colrow_logits(options.colrow, folder, case.ids, how)
    except Refused as why:
        kind = "different" if str(why).startswith("CRASH") else "both refuse" if wanted is None else "refused"
        return kind, str(why), {"how": how}
    if wanted is None:
        return "lenient", refusal, None
    kind, why = judge(case, folder, wanted, found, other)
    case.part = error_of(found, wanted) / allowed(wanted) if found.shape == wanted.shape else 0
    return kind, f"{why} [{' '.join(f'{k}={v}' for k, v in how.items())}]", case.shipped(wanted, how)


# ---- many ----

def isas_here():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        flags = set(next((line for line in file if line.startswith("flags")), "").split())
    needs = {"reference": set(), "avx2": {"avx2", "fma"}, "avx512": {"avx512f", "avx512bw", "avx512vl"},
             "avx512bf16": {"avx512_bf16"}, "amx": {"amx_bf16"}}
    return [isa for isa in ISAS if needs[isa] <= flags]


def pattern_of(text):
    return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "N", re.sub(r"layers\.\d+", "layers.N", text))[:200]


def ship(folder, case, kept):
    """A line for each tensor: short, and a difference shows."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, case.name.replace("/", "-") + ".json"), "w", encoding="utf-8") as file:
        lines = [f"{json.dumps(key)}: {json.dumps(value) if key not in ('weights', 'logits') else rows_of(value)}"
                 for key, value in kept.items()]
        file.write("{" + ",\n".join(lines) + "}\n")


def rows_of(values):
    return "[\n" + ",\n".join(json.dumps(row) for row in values) + "]"


def keep_case(options, case, folder, kind, why, kept):
    if not options.keep:
        return
    target = os.path.join(options.keep, case.name.replace("/", "-"))
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target)
    with open(os.path.join(target, "why.txt"), "w", encoding="utf-8") as file:
        file.write(f"{kind}: {why}\n")
    if kept and "logits" in kept:
        ship(target, case, kept)


def run_family(family, options):
    counts, reasons, spread, largest = collections.Counter(), collections.Counter(), [], 0
    for index in range(options.first, options.first + options.count):
        case = Case(family, options.seed, index)
        folder = tempfile.mkdtemp(prefix="families-")
        try:
            try:
                kind, why, kept = run_case(case, folder, options)
            except Refused as refusal:  # no such model for Transformers
                kind, why, kept = "undrawable", str(refusal), None
            if kind == "refused" and unknown(why):
                print(f"{family.name}: not known to this colrow ({why[:100]})", flush=True)
                return None
            counts[kind] += 1
            spread.append(getattr(case, "deviation", 0))
            largest = max(largest, getattr(case, "part", 0))
            if kind not in ("equal", "near"):
                reasons[f"({kind}) {pattern_of(why) if kind != 'different' else case.name + ': ' + why}"] += 1
            if options.ship and kept and "logits" in kept:
                ship(options.ship, case, kept)
            if kind in ("different", "small"):
                keep_case(options, case, folder, kind, why, kept)
                print(f"{kind}: {case.name}: {why}", flush=True)
            elif options.verbose:
                print(f"{kind}: {case.name}: {why}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
    print(f"{family.name}: {kinds}; largest error {largest:.2f} of what is allowed, logits deviate by {min(spread):.2g} "
          f"to {max(spread):.2g}", flush=True)
    for reason, n in reasons.most_common():
        print(f"  {n:3} {reason}")
    return counts


def unknown(why):
    """Whether a refusal is that of a family which this colrow does not have."""
    return bool(re.search(r'key "(architectures|model_type)" .*expected (one of|a model that colrow serves)', why))


def replay(path, options):
    with open(path, encoding="utf-8") as file:
        kept = json.load(file)
    case = Case(FAMILIES[kept["family"]], 0, 0)
    case.name, case.seed, case.dtype, case.config = kept["case"], kept["seed"], kept["dtype"], kept["config"]
    case.rows, case.ids = kept["weights"], kept["ids"]
    folder = tempfile.mkdtemp(prefix="families-")
    case.write(folder)
    kind, why, _ = compare(case, folder, options, kept["how"])
    print(f"{kind}: {case.name}: {why}")
    shutil.rmtree(folder)
    return kind in ("equal", "near", "small")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--family", help="names, comma-separated (default: all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=10, help="cases of each family")
    parser.add_argument("--first", type=int, default=0,
                        help="number of the first case: --first 7 --count 1 is case 7 alone")
    parser.add_argument("--colrow", default=os.environ.get("COLROW", os.path.join(HERE, "../build/release/colrow")))
    parser.add_argument("--keep", help="folder for cases that are different")
    parser.add_argument("--ship", help="folder for a file of each case that both answered, as in tests/data/families")
    parser.add_argument("--replay", help="such a file")
    parser.add_argument("--no-colrow", action="store_true", help="Transformers alone: are the cases sane?")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.colrow, options.isas = os.path.abspath(options.colrow), isas_here()
    return options


def main():
    options = arguments()
    if options.replay:
        return 0 if replay(options.replay, options) else 1
    total, skipped = collections.Counter(), []
    for name in options.family.split(",") if options.family else FAMILIES:
        counts = run_family(FAMILIES[name], options)
        skipped += [] if counts else [name]
        total.update(counts or {})
    kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(total.items()))
    print(f"all: {sum(total.values())} cases, {kinds}")
    if skipped:
        print(f"not known to this colrow: {', '.join(skipped)}")
    return 1 if total["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
