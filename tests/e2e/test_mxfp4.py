#!/usr/bin/env python3
"""gpt-oss with experts in MXFP4 blocks: the bits of the same model with experts in bfloat16, for any number of ranks, with
whole experts on ranks too; what Transformers computes with the golden, where that is; files that are wrong are refused."""
import array
import json
import os
import random
import struct
import tempfile

from support import SHARED, Safetensors, check, finish, logits_file, run
from tiny_checkpoint import numbers, packed

HIDDEN, INNER, EXPERTS, VOCAB = 64, 96, 5, 64
MAGNITUDES = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
CONFIG = {"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "hidden_size": HIDDEN, "dtype": "bfloat16",
          "intermediate_size": INNER, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
          "head_dim": 16, "num_local_experts": EXPERTS, "num_experts_per_tok": 2, "sliding_window": 8,
          "vocab_size": VOCAB, "max_position_embeddings": 256,
          "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}
QUANTISED = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}


def plain_tensors():
    """name: (type, shape, bytes) of all but the experts' matrices."""
    shapes = {"model.embed_tokens.weight": [VOCAB, HIDDEN], "lm_head.weight": [VOCAB, HIDDEN],
              "model.norm.weight": [HIDDEN]}
    for layer in range(2):
        prefix = f"model.layers.{layer}."
        attention = {"q": ([64, HIDDEN], [64]), "k": ([32, HIDDEN], [32]), "v": ([32, HIDDEN], [32]),
                     "o": ([HIDDEN, 64], [HIDDEN])}
        for name, (weight, bias) in attention.items():
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = weight
            shapes[f"{prefix}self_attn.{name}_proj.bias"] = bias
        shapes.update({prefix + "self_attn.sinks": [4], prefix + "input_layernorm.weight": [HIDDEN],
                       prefix + "post_attention_layernorm.weight": [HIDDEN],
                       prefix + "mlp.router.weight": [EXPERTS, HIDDEN], prefix + "mlp.router.bias": [EXPERTS],
                       prefix + "mlp.experts.gate_up_proj_bias": [EXPERTS, 2 * INNER],
                       prefix + "mlp.experts.down_proj_bias": [EXPERTS, HIDDEN]})
    made = {}
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        centre = 1.0 if "norm" in name else 0.0
        made[name] = ("BF16", shape, packed(numbers(1, name, count, centre, 0.3), "BF16"))
    return made


def blocks_of(rng, rows, columns):
    """(bytes of the blocks, bytes of the scales, the numbers [expert][row][column])"""
    blocks, scales, values = bytearray(), bytearray(), []
    for _ in range(EXPERTS * rows):
        row = []
        for _ in range(columns // 32):
            scale = rng.choice([0, 120, 123, 124, 125])
            codes = [rng.randrange(16) for _ in range(32)]
            scales.append(scale)
            blocks += bytes(codes[2 * i] | codes[2 * i + 1] << 4 for i in range(16))
            # the smallest scale makes denormal numbers, which are zero, of all but 2 and above
            kept = [MAGNITUDES[code & 7] if scale or code & 7 >= 4 else 0.0 for code in codes]
            row += [(-1 if code & 8 else 1) * size * 2.0 ** (scale - 127) for code, size in zip(codes, kept)]
        values.append(row)
    return bytes(blocks), bytes(scales), values


def expert_tensors():
    """The same matrices as blocks, and in bfloat16 with rows and columns exchanged."""
    rng, blocks, whole = random.Random(4), {}, {}
    for layer in range(2):
        for name, rows, columns in (("gate_up_proj", 2 * INNER, HIDDEN), ("down_proj", HIDDEN, INNER)):
            full = f"model.layers.{layer}.mlp.experts.{name}"
            data, scales, values = blocks_of(rng, rows, columns)
            blocks[full + "_blocks"] = ("U8", [EXPERTS, rows, columns // 32, 16], data)
            blocks[full + "_scales"] = ("U8", [EXPERTS, rows, columns // 32], scales)
            turned = array.array("f", [values[e * rows + r][c] for e in range(EXPERTS) for c in range(columns)
                                       for r in range(rows)])
            whole[full] = ("BF16", [EXPERTS, columns, rows], packed(turned, "BF16"))
    return blocks, whole


def write_model(folder, config, tensors):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    header, end = {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def check_same_bits(blocks, whole):
    ids = [(7 * i + 3) % VOCAB for i in range(40)]
    ways = [("-tp", n) for n in (1, 2, 3, 4)] + [("-tp", 3, "--enable-expert-parallel"),
                                                 ("-tp", 2, "--max-num-batched-tokens", 7)]
    for dtype in ("float32", "bfloat16", "float16"):
        _, expected = logits_file(whole, ids, "--dtype", dtype)
        for way in ways:
            for folder in (blocks, whole):
                _, found = logits_file(folder, ids, "--dtype", dtype, *way)
                check(found == expected, f"{os.path.basename(folder)}: other bits in {dtype} with {way}")


def check_reading(folder):
    """All ranks together read each expert's blocks and scales once."""
    for flags in ((), ("--enable-expert-parallel",)):
        plan = json.loads(run("plan", folder, "-tp", 2, "--json", *flags).stdout)
        for parameter in plan["parameters"]:
            if parameter["name"].endswith("gate_up_proj"):
                read = sum(rank["bytes"] for rank in parameter["ranks"])
                wanted = EXPERTS * 2 * INNER * (HIDDEN // 2 + HIDDEN // 32)
                check(read == wanted, f"{parameter['name']}: ranks read {read} bytes, expected {wanted}")


def check_refusal(folder, config, tensors, *parts):
    write_model(folder, config, tensors)
    ids = os.path.join(folder, "ids.txt")
    with open(ids, "w", encoding="ascii") as file:
        file.write("1 2 3")
    done = run("logits", folder, "--input-ids", ids, "--output", os.path.join(folder, "out.safetensors"))
    check(done.returncode != 0 and all(part in done.stderr for part in parts),
          f"expected {parts}, found: {done.stderr.strip()}")


def check_refusals(folder, blocks):
    name = "model.layers.1.mlp.experts.down_proj_scales"
    config = dict(CONFIG, quantization_config=QUANTISED)
    without = {key: value for key, value in blocks.items() if key != name}
    check_refusal(folder, config, without, name, "is missing", "blocks")  # its scales
    check_refusal(folder, config, {**blocks, name: ("U8", [EXPERTS, HIDDEN, 1], bytes(EXPERTS * HIDDEN))}, name,
                  "[5, 64, 1]", "[5, 64, 3] (mxfp4")
    check_refusal(folder, dict(config, intermediate_size=90), blocks, "mxfp4", "90", "multiples of 32")
    check_refusal(folder, CONFIG, blocks, "gate_up_proj_blocks", "no \"quantization_config\"")


def check_golden():
    model = os.path.join(SHARED, "goldens/quantised/mxfp4-gpt-oss")
    if not os.path.exists(model):
        return
    golden = Safetensors(os.path.join(model, "golden.safetensors"), only=("input_ids", "logits"))
    for flags in (("-tp", 1), ("-tp", 3), ("-tp", 4, "--enable-expert-parallel")):
        logits, _ = logits_file(model, list(golden["input_ids"]), "--dtype", "float32", *flags)
        error = max(abs(a - b) for a, b in zip(logits, golden["logits"]))
        check(error <= 5e-4, f"mxfp4-gpt-oss with {flags}: logits differ by {error:.3g}")
        print(f"mxfp4-gpt-oss {flags}: largest error {error:.2e}")


with tempfile.TemporaryDirectory() as temporary:
    as_blocks, as_bf16 = os.path.join(temporary, "blocks"), os.path.join(temporary, "bfloat16")
    in_blocks, in_bf16 = expert_tensors()
    others = plain_tensors()
    write_model(as_blocks, dict(CONFIG, quantization_config=QUANTISED), {**others, **in_blocks})
    write_model(as_bf16, CONFIG, {**others, **in_bf16})
    check_same_bits(as_blocks, as_bf16)
    check_reading(as_blocks)
    check_refusals(os.path.join(temporary, "wrong"), {**others, **in_blocks})
check_golden()
finish("mxfp4")
