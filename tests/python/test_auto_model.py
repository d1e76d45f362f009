#!/usr/bin/env python3
"""`AutoTokenizer` and `AutoModelForCausalLM`: rows of tokens on lists and numpy arrays, filled up on the left; greedy
and drawn answers are those of `LLM`; plans as a dict; arguments that are refused."""
import json

from python_case import DEMO, SMALL, need_demo, refused
from support import check, finish, run

need_demo()
from colrow import AutoModelForCausalLM, AutoTokenizer, SamplingParams  # noqa: E402

try:
    import numpy
except ImportError:
    numpy = None

TEXTS = ["What is tensor parallelism?", "Each rank", "The KV cache holds keys and"]


def check_tokenizer(tokenizer):
    one = tokenizer(TEXTS[0])
    done = run("tokenize", DEMO, "--add-special-tokens", stdin=json.dumps(TEXTS))
    check(done.returncode == 0 and tokenizer(TEXTS).input_ids == json.loads(done.stdout), f"{done.stdout}{done.stderr}")
    check(one.attention_mask == [1] * len(one.input_ids) and one["input_ids"][0] == tokenizer.bos_token_id, f"{one}")
    check(tokenizer.eos_token == "<|end|>" and tokenizer.eos_token_id == 5 and tokenizer.pad_token is None, "special tokens")
    check(tokenizer.decode(one.input_ids, skip_special_tokens=True) == TEXTS[0], "there and back")
    refused(check, ValueError, ["pad_token"], lambda: tokenizer(TEXTS, padding=True))
    refused(check, ValueError, ["pad_token", "tokens"], lambda: setattr(tokenizer, "pad_token", "many tokens"))
    refused(check, ValueError, ["padding=True"], lambda: tokenizer(TEXTS, return_tensors="np"))
    refused(check, ValueError, ["return_tensors"], lambda: tokenizer(TEXTS[:1], return_tensors="tf"))
    refused(check, ValueError, ["max_length"], lambda: tokenizer(TEXTS, truncation=True))
    refused(check, ValueError, ["cuda"], lambda: tokenizer(TEXTS).to("cuda"))
    tokenizer.pad_token = tokenizer.eos_token
    batch = tokenizer(TEXTS, padding=True)
    widths = {len(row) for row in batch.input_ids}
    check(len(widths) == 1 and batch.input_ids[1][0] == 5 and batch.attention_mask[1][0] == 0, f"filled up: {batch}")
    check(tokenizer.batch_decode(batch.input_ids, skip_special_tokens=True) == TEXTS, "a batch there and back")
    check(len(tokenizer(TEXTS[0], truncation=True, max_length=3).input_ids) == 3, "cut")
    chat = [{"role": "user", "content": "What is a rank?"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    check(tokenizer.decode(ids) == text and text.endswith("<|assistant|>\n"), f"{text!r} {ids}")
    return batch


def check_logits(model, tokenizer, batch, following):
    """A model that is called: its likeliest tokens are those that generate() goes on with; "pt" is torch, or stands in."""
    logits = numpy.array(model(batch.input_ids, batch.attention_mask).logits, dtype=numpy.float32)
    check(logits.shape == (3, len(batch.input_ids[0]), 1280) and logits[:, -1].argmax(-1).tolist() == following, f"{logits.shape}")
    check(not logits[1, 0].any() and logits[1, -1].any(), "logits where a row is only filled up")
    alone = model(batch.input_ids[:1], batch.attention_mask[:1])[0]
    check((numpy.array(alone[0], dtype=numpy.float32) == logits[0]).all(), "a row alone has other logits")
    tensors = tokenizer(TEXTS, padding=True, return_tensors="pt").to(model.device)
    output = model(tensors.input_ids.to("cpu"), attention_mask=tensors.attention_mask)
    check((output.logits.cpu().numpy() == logits).all() and type(output.logits) is type(tensors.input_ids), f"{type(output.logits)}")
    drawn = model.generate(**tensors, max_new_tokens=1, do_sample=False)
    check(drawn[:, -1].tolist() == following and type(drawn) is type(tensors.input_ids), f"{type(drawn)}")
    refused(check, ValueError, ["output_attentions"], lambda: model(batch.input_ids, output_attentions=True))
    refused(check, ValueError, ["padding=True"], lambda: model([[1, 2], [3]]))


def check_model(model, tokenizer, batch):
    check(model.tp_size == 2 and model.config.num_hidden_layers == 4 and model.config.to_dict()["vocab_size"] == 1280, "config")
    plan = model.config._tp_plan
    check(plan == model.tp_plan == model._tp_plan, "one plan by three names")
    check(plan.get("model.layers.*.self_attn.q_proj") == "colwise" and plan.get("model.layers.*.mlp.down_proj") == "rowwise",
          f"the plan is {plan}")
    width = len(batch.input_ids[0])
    greedy = model.generate(**batch, max_new_tokens=25, do_sample=False)
    drawn = model.generate(**batch, max_new_tokens=25, do_sample=True, temperature=0.8, top_p=0.9, seed=3, num_return_sequences=2)
    wanted = model.llm.generate(TEXTS, SamplingParams(temperature=0, max_tokens=25), use_tqdm=False)
    check([row[:width] for row in greedy] == batch.input_ids, "the prompts stand in front")
    for row, output in zip(greedy, wanted):
        ids = output.outputs[0].token_ids
        check(row[width:width + len(ids)] == ids and set(row[width + len(ids):]) <= {5}, f"{row} is not {ids}")
    wanted = model.llm.generate(TEXTS, SamplingParams(n=2, temperature=0.8, top_p=0.9, top_k=50, seed=3, max_tokens=25), use_tqdm=False)
    answers = [item.token_ids for output in wanted for item in output.outputs]
    check([row[width:width + len(ids)] for row, ids in zip(drawn, answers)] == answers, "drawn answers")
    check(len(model.generate([[0, 401, 296]], eos_token_id=[])[0]) == 23, "20 new tokens by default")
    check(len(model.generate([0, 401, 296], max_length=8, eos_token_id=[])[0]) == 8, "max_length")
    for words, arguments in ((["num_beams"], {"num_beams": 4}), (["max_length", "3"], {"max_length": 3}),
                             (["do_sample"], {"num_return_sequences": 2}), (["temperature"], {"do_sample": True, "temperature": 9.0}),
                             (["attention_mask"], {"attention_mask": [[1]]})):
        refused(check, ValueError, words, lambda given=arguments: model.generate([[0, 401, 296]], **given))
    refused(check, TypeError, ["input_ids"], lambda: model.generate("text"))
    if numpy is not None:
        arrays = tokenizer(TEXTS, padding=True, return_tensors="np")
        found = model.generate(**arrays, max_new_tokens=25, do_sample=False)
        check(isinstance(found, numpy.ndarray) and found.dtype == numpy.int64 and found.tolist() == greedy, "numpy arrays")
        check_logits(model, tokenizer, batch, [row[width] for row in greedy])
        check(tokenizer.batch_decode(found[:, width:]) == tokenizer.batch_decode([row[width:] for row in greedy]), "their texts")
    return greedy


words = AutoTokenizer.from_pretrained(DEMO)
rows = check_tokenizer(words)
auto = AutoModelForCausalLM.from_pretrained(DEMO, tp_plan="auto", tp_size=2, dtype="bfloat16", **SMALL)
first = check_model(auto, words, rows)
auto.close()
custom = AutoModelForCausalLM.from_pretrained(DEMO, tp_plan={"model.layers.*.mlp.up_proj": "colwise", "lm_head": "replicate"}, tp_size=2,
                                              device_map="auto", **SMALL).eval().to("cpu")
check(custom.generate(**rows, max_new_tokens=25, do_sample=False) == first, "a plan of one's own has other answers")
custom.close()
for words_, arguments_ in ((["tp_plan", "'manual'"], {"tp_plan": "manual"}), (["device_map"], {"device_map": "cuda"}),
                           (["sideways"], {"tp_plan": {"model.layers.*.mlp.up_proj": "sideways"}})):
    refused(check, ValueError if words_[0] != "sideways" else Exception, words_,
            lambda given=arguments_: AutoModelForCausalLM.from_pretrained(DEMO, **{**SMALL, **given}))
finish("AutoModelForCausalLM" + ("" if numpy else " (skipped: numpy arrays, since numpy is not installed)"))
