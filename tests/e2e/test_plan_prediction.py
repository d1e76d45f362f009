#!/usr/bin/env python3
"""`colrow plan` with --nodes and --machine: who is where, the prediction as text, JSON and SVG, and what is refused."""
import json
import os
import tempfile
import xml.etree.ElementTree

from support import DEMO, ROOT, SHARED, check, finish, run

MACHINE = os.path.join(ROOT, "examples/machines/dgx-h100.json")
LLAMA_70B = os.path.join(SHARED, "data/configs/llama-3-70b.config.json")


def plan(*flags):
    done = run("plan", *flags)
    check(done.returncode == 0, f"plan {flags}: {done.stderr.strip()}")
    return done.stdout


def check_nodes():
    lines = plan(DEMO, "-tp", 2, "-pp", 2, "--nodes", 2).splitlines()
    for line in ("Node 0: layers 0-1 (TP=2), ranks 0-1", "Node 1: layers 2-3 (TP=2), ranks 2-3"):
        check(line in lines, f"no line {line!r}")
    lines = plan(DEMO, "-tp", 3, "-pp", 2, "--gpus-per-node", 2).splitlines()
    for line in ("Node 0: layers 0-1 (TP=3), ranks 0-1", "Node 1: layers 0-1 (TP=3), rank 2; layers 2-3 (TP=3), rank 3",
                 "Node 2: layers 2-3 (TP=3), ranks 4-5"):
        check(line in lines, f"no line {line!r}")
    check("Node" not in plan(DEMO, "-tp", 2), "one node is no news")
    nodes = json.loads(plan(DEMO, "-tp", 2, "-pp", 2, "--nodes", 2, "--json"))["nodes"]
    check(nodes == [{"node": 0, "stages": [{"stage": 0, "layers": [0, 2], "ranks": [0, 2]}]},
                    {"node": 1, "stages": [{"stage": 1, "layers": [2, 4], "ranks": [2, 4]}]}], f"nodes are {nodes}")


def check_tutorial():
    """80 layers on 32 devices: TP 8 x PP 4 on four nodes, and 16-way TP on two."""
    if not os.path.exists(LLAMA_70B):
        print("skipped: the 70B layout, shared/ is not here")
        return
    text = plan(LLAMA_70B, "-tp", 8, "-pp", 4, "--nodes", 4, "--gpus-per-node", 8, "--machine", MACHINE, "--concurrency", 32)
    for node in range(4):
        check(f"Node {node}: layers {20 * node}-{20 * node + 19} (TP=8)" in text, f"node {node} of four")
    text = plan(LLAMA_70B, "-tp", 16, "--nodes", 2, "--gpus-per-node", 8, "--machine", MACHINE)
    check("Node 1: layers 0-79 (TP=16), ranks 8-15" in text, "node 1 of two")
    with tempfile.TemporaryDirectory() as folder:  # as many stages as there may be, and streams for each
        plan(LLAMA_70B, "-tp", 1, "-pp", 64, "--machine", MACHINE, "--concurrency", 64, "--svg", os.path.join(folder, "steps.svg"))
    plan(LLAMA_70B, "-tp", 1, "--machine", MACHINE, "--concurrency", 1000000, "--input-len", 100000000)
    fits = json.loads(plan(LLAMA_70B, "-tp", 1, "--machine", MACHINE, "--json"))["prediction"]["memory"][0]
    check(fits["bytes"] > 141e9 and fits["memory_bytes"] == 80e9 and fits["fits"] is False, f"70B on one H100: {fits}")
    check("It does not fit" in plan(LLAMA_70B, "-tp", 1, "--machine", MACHINE), "nothing says that 70B does not fit")


def check_json(folder):
    root = json.loads(plan(DEMO, "-tp", 2, "-pp", 2, "--nodes", 2, "--machine", MACHINE, "--concurrency", 8, "--json"))
    found = root["prediction"]
    check(set(found) == {"machine", "concurrency", "input_len", "output_len", "turnaround_seconds", "memory", "decode",
                         "prefill"}, f"keys {set(found)}")
    check(found["decode"]["steps_under_way"] == 2 and found["decode"]["step_tokens"] == 4, f"decode {found['decode']}")
    check(abs(found["decode"]["seconds_per_token"] * found["decode"]["tokens_per_second"] / 8 - 1) < 1e-9, "tokens a second")
    for phase in ("decode", "prefill"):
        stages = found[phase]["stages"]
        check([stage["layers"] for stage in stages] == [[0, 2], [2, 4]], f"{phase}: layers of stages")
        for stage in stages:
            parts = stage["work_seconds"] + stage["exchange_seconds"] + stage["hand_over_seconds"]
            check(abs(parts / stage["seconds"] - 1) < 1e-9 and 0 <= stage["bubble"] < 1, f"{phase}: {stage}")
            check(stage["work_seconds"] >= max(stage["arithmetic_seconds"], stage["read_seconds"]) * (1 - 1e-9), "roofline")
    check(found["prefill"]["steps_per_prompt"] == 2 and found["memory"][1]["stage"] == 1, f"prefill {found['prefill']}")
    # what it prints of the machine is a machine's description
    again = os.path.join(folder, "again.json")
    with open(again, "w", encoding="utf-8") as file:
        json.dump(found["machine"], file)
    twice = json.loads(plan(DEMO, "-tp", 2, "-pp", 2, "--nodes", 2, "--machine", again, "--concurrency", 8, "--json"))
    check(twice["prediction"] == found, "the machine that was printed gives another prediction")


def check_svg(folder):
    for flags in (("-tp", 1), ("-tp", 3), ("-tp", 2, "-pp", 4, "--nodes", 2), ("-tp", 8, "-pp", 4, "--gpus-per-node", 8)):
        path = os.path.join(folder, "steps.svg")
        plan(DEMO, *flags, "--machine", MACHINE, "--concurrency", 5, "--svg", path)
        root = xml.etree.ElementTree.parse(path).getroot()
        space = {"s": "http://www.w3.org/2000/svg"}
        texts = ["".join(text.itertext()) for text in root.findall(".//s:text", space)]
        names = {use.get("href") for use in root.findall(".//s:use", space)}
        defined = {"#" + group.get("id") for group in root.findall(".//s:g[@id]", space)}
        check(names and names <= defined, f"{flags}: {names - defined} are used and nowhere")
        for word in ("Stage 0", "matrix products", "idle (bubble)", "ms", "step 1", "One layer of it"):
            check(word in texts, f"{flags}: no text {word!r}")
        for box in root.iter("{http://www.w3.org/2000/svg}rect"):
            check(float(box.get("width")) >= 0 and float(box.get("height")) > 0, f"{flags}: a box of no size")


def check_names(folder):
    """What a machine is called is not markup."""
    with open(MACHINE, encoding="utf-8") as file:
        machine = json.load(file)
    machine["name"] = 'a <b> & "c" \u00e9'
    path, svg = os.path.join(folder, "named.json"), os.path.join(folder, "named.svg")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(machine, file)
    plan(DEMO, "-tp", 1, "--machine", path, "--svg", svg)
    texts = ["".join(text.itertext()) for text in xml.etree.ElementTree.parse(svg).getroot().iter()]
    check(any(machine["name"] in text for text in texts), "the machine's name is not in its diagram")


def check_refusals(folder):
    bad = os.path.join(folder, "bad.json")
    with open(bad, "w", encoding="utf-8") as file:
        file.write('{"name": "x", "device": {"memory_bytes": 1}}')
    for flags, words in ((("-tp", 2, "--nodes", 3), "expected a rank for each node"),
                         (("-tp", 4, "-pp", 2, "--nodes", 2, "--gpus-per-node", 2), "have room for 4; expected at least --nodes 4"),
                         (("--nodes", 2), "expected --tensor-parallel-size"),
                         (("--machine", MACHINE), "expected --tensor-parallel-size"),
                         (("-tp", 2, "--svg", "x.svg"), "expected --machine FILE"),
                         (("-tp", 2, "--machine", os.path.join(folder, "none")), "cannot open"),
                         (("-tp", 2, "--machine", bad), 'lacks "read_bytes_per_second"'),
                         (("-tp", 2, "--machine", MACHINE, "--svg", os.path.join(folder, "no/x.svg")), "x.svg"),
                         (("-tp", 2, "--machine", MACHINE, "--explain", "q_proj"), "expected one")):
        done = run("plan", DEMO, *flags)
        check(done.returncode != 0 and words in done.stderr and done.stderr.count("\n") == 1,
              f"{flags}: {done.returncode}, {done.stderr.strip()!r}; expected {words!r}")


def check_auto():
    found = json.loads(plan(DEMO, "-tp", 2, "--machine", "auto", "--json"))["prediction"]
    device = found["machine"]["device"]["read_bytes_per_second"]
    check(device["value"] > 1e8 and device["source"].startswith("measured"), f"auto: {found['machine']}")
    check(found["machine"]["link_in_node"]["bytes_per_second"]["value"] > 0, "auto: no link")


def check_scaling():
    """`bench scaling --simulate` says what plan says, and runs nothing."""
    done = run("bench", "scaling", DEMO, "--simulate", "--machine", MACHINE, "--tp", "1,2,4", "--batches", "1,8", "--input-len", 100, "--output-len", 20,
               "--json")
    check(done.returncode == 0, f"bench scaling --simulate: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    check(found["simulated"] and len(found["points"]) == 6, f"points {found}")
    for point in found["points"]:
        same = json.loads(plan(DEMO, "-tp", point["tensor_parallel_size"], "--machine", MACHINE, "--concurrency", point["batch"], "--input-len", 100,
                               "--output-len", 20, "--json"))["prediction"]
        check(abs(point["decode_tokens_per_second"] / same["decode"]["tokens_per_second"] - 1) < 1e-6, f"decode of {point}")
        check(abs(point["prefill_tokens_per_second"] / same["prefill"]["tokens_per_second"] - 1) < 1e-6, f"prefill of {point}")
        check(abs(point["compute"] + point["communication"] + point["waiting"] - 1) < 1e-6, f"parts of {point}")
    done = run("bench", "scaling", DEMO, "--simulate")
    check(done.returncode == 2 and "expected --machine" in done.stderr, f"--simulate alone: {done.stderr.strip()}")


with tempfile.TemporaryDirectory() as temporary:
    check_nodes()
    check_tutorial()
    check_json(temporary)
    check_svg(temporary)
    check_names(temporary)
    check_refusals(temporary)
    check_auto()
    check_scaling()
finish("plan's predictions")
