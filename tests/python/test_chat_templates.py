#!/usr/bin/env python3
"""Chats by a template of one's own, with tools, more variables and an answer that is begun: in `LLM.chat()` and in
`apply_chat_template()`; the model's own template gives the same by either way; templates that fail say where."""
import json
import os
import pathlib
import tempfile

from python_case import DEMO, SMALL, need_demo, refused
from support import check, finish

need_demo()
from colrow import LLM, AutoTokenizer, SamplingParams  # noqa: E402
from colrow.chat_templates import template_of  # noqa: E402

OWN = ("{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}{% for call in m.tool_calls or [] %}<{{ call.function.name }}>"
       "{% endfor %}{{ '\\n' }}{% endfor %}{% for tool in tools or [] %}({{ tool.function.name }}){% endfor %}{{ mood }}"
       "{% if add_generation_prompt %}[assistant]{% endif %}")
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CHAT = [{"role": "system", "content": "You explain."}, {"role": "user", "content": "What is a rank?"}]
CALLS = [*CHAT, {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": "{}"}}]}]

tokenizer = AutoTokenizer.from_pretrained(DEMO)


def written(chat, **more):
    return tokenizer.apply_chat_template(chat, tokenize=False, **more)


with open(os.path.join(DEMO, "tokenizer_config.json"), encoding="utf-8") as config:
    model_template = json.load(config)["chat_template"]
check(template_of(DEMO, None, False) == model_template, "the model's template")
for prompt in (False, True):
    plain = written(CHAT, add_generation_prompt=prompt)
    check(plain == written(CHAT, add_generation_prompt=prompt, chat_template=model_template) and "What is a rank?" in plain, f"{plain!r}")
    check(plain == written(CHAT, add_generation_prompt=prompt, unknown="to it"), "variables that the template does not have")
begin = tokenizer.bos_token + "[system] You explain.\n[user] What is a rank?\n"
check(written(CHAT, chat_template=OWN, add_generation_prompt=True) == begin + "[assistant]", "a template of one's own")
check(written(CHAT, chat_template=OWN, tools=TOOLS, mood="!") == begin + "(weather)!", "tools and variables")
check(written(CALLS, chat_template=OWN) == begin + "[assistant] None<weather>\n", f"calls: {written(CALLS, chat_template=OWN)!r}")
parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
check(written(parts, chat_template=OWN) == tokenizer.bos_token + "[user] a\nb\n", "parts")
begun = [*CHAT, {"role": "assistant", "content": " A rank is "}]
text = written(begun, chat_template=OWN, continue_final_message=True)
check(text == begin + "[assistant]  A rank is ", f"an answer that is begun: {text!r}")
ids = tokenizer.apply_chat_template(CHAT, chat_template=OWN, return_dict=False)
check(ids == tokenizer.encode(begin, add_special_tokens=False), "tokens")
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "own.jinja")
    pathlib.Path(path).write_text(OWN, encoding="utf-8")
    check(written(CHAT, chat_template=path) == written(CHAT, chat_template=pathlib.Path(path)) == begin, "a file")
for words, more in ((["template", "line 2"], {"chat_template": "{{ 1 }}\n{{ raise_exception('no') }}"}),
                    (["template"], {"chat_template": "{% for %}"}), (["neither", "nowhere"], {"chat_template": "nowhere"}),
                    (["contradict"], {"continue_final_message": True, "add_generation_prompt": True}),
                    (["last message"], {"continue_final_message": True, "chat_template": "{{ 1 }}"})):
    refused(check, ValueError, words, lambda given=more: written(begun, **given))

one = SamplingParams(temperature=0, max_tokens=12)
with LLM(DEMO, **SMALL) as llm:
    def answer(*chat, **more):
        return [output.outputs[0].token_ids for output in llm.chat(*chat, use_tqdm=False, **more)]

    wanted = llm.generate({"prompt_token_ids": tokenizer.encode(begin + "[assistant]", add_special_tokens=False)}, one, use_tqdm=False)
    check(answer([CHAT, CHAT], one, chat_template=OWN) == [wanted[0].outputs[0].token_ids] * 2, "LLM.chat by a template of one's own")
    check(answer(CHAT, one, chat_template=model_template) == answer(CHAT, one), "LLM.chat by the model's template")
    wanted = llm.generate({"prompt_token_ids": tokenizer.encode(begin + "[assistant]  A rank is ", add_special_tokens=False)}, one, use_tqdm=False)
    check(answer(begun, one, chat_template=OWN, add_generation_prompt=False, continue_final_message=True,
                 chat_template_kwargs={"mood": "?"}) == [wanted[0].outputs[0].token_ids], "LLM.chat goes on with an answer")
    refused(check, ValueError, ["template"], lambda: llm.chat(CHAT, one, chat_template="{% for %}", use_tqdm=False))
finish("chat templates")
