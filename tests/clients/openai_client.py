#!/usr/bin/env python3
"""The packages openai and anthropic against a running server: whole answers and streams, as programs use them.

    openai_client.py URL        exit status 77: a package is missing
"""
import asyncio
import sys

try:
    import anthropic
    import openai
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

QUESTION = [{"role": "user", "content": "What is tensor parallelism?"}]
GREEDY = {"extra_body": {"temperature": 0}}  # newer versions of anthropic have no parameter for it
failures = []


def check(condition, what):
    if not condition:
        failures.append(what)
        print("FAILED:", what)


def chats(client):
    model = client.models.list().data[0].id
    check(client.models.retrieve(model).id == model, "models")
    whole = client.chat.completions.create(model=model, messages=QUESTION, temperature=0, max_tokens=32, logprobs=True, top_logprobs=2)
    text = whole.choices[0].message.content
    check(whole.usage.completion_tokens == 32 and whole.choices[0].finish_reason == "length", f"chat: {whole}")
    check("".join(token.token for token in whole.choices[0].logprobs.content) == text, "tokens of log-probabilities are the text")
    stream = client.chat.completions.create(model=model, messages=QUESTION, temperature=0, max_tokens=32, stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    parts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    check("".join(parts) == text and len(parts) > 10, f"chat stream: {parts}")
    check(chunks[-1].usage.total_tokens == whole.usage.total_tokens, "the last chunk has the usage")
    done = client.completions.create(model=model, prompt="Tensor parallelism", max_tokens=8, temperature=0, echo=True)
    check(done.choices[0].text.startswith("Tensor parallelism"), f"completion: {done}")
    try:
        client.chat.completions.create(model=model, messages=QUESTION, temperature=3)
        check(False, "temperature 3 is taken")
    except openai.BadRequestError as error:
        check(error.param == "temperature" and "temperature" in error.message, f"the error object: {error}")
    try:
        client.chat.completions.create(model="nope", messages=QUESTION)
        check(False, "an unknown model is taken")
    except openai.NotFoundError:
        pass


def responses(client):
    whole = client.responses.create(model="", input="What is tensor parallelism?", temperature=0, max_output_tokens=32)
    check(len(whole.output_text) > 20 and whole.status == "incomplete" and whole.usage.output_tokens == 32, f"response: {whole}")
    text, kinds = "", []
    with client.responses.stream(model="", input=[{"role": "user", "content": [{"type": "input_text", "text": "What is tensor parallelism?"}]}],
                                 temperature=0, max_output_tokens=32) as stream:
        for event in stream:
            kinds.append(event.type)
            text += event.delta if event.type == "response.output_text.delta" else ""
    check(text == whole.output_text and kinds[0] == "response.created" and kinds[-1] == "response.incomplete", f"response stream: {kinds}")


def messages(client):
    whole = client.messages.create(model="", max_tokens=32, messages=QUESTION, **GREEDY)
    check(whole.stop_reason == "max_tokens" and whole.usage.output_tokens == 32, f"message: {whole}")
    with client.messages.stream(model="", max_tokens=32, messages=QUESTION, **GREEDY) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    check(text == whole.content[0].text and final.usage.output_tokens == 32 and final.stop_reason == "max_tokens", f"message stream: {text!r} {final}")
    stopped = client.messages.create(model="", max_tokens=32, messages=QUESTION, **GREEDY, stop_sequences=["parallelism", "x" * 9])
    check(stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == "parallelism", f"stop sequence: {stopped}")
    ended = client.messages.create(model="", max_tokens=200, system="Be brief.", messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], **GREEDY)
    check(ended.stop_reason in ("end_turn", "max_tokens"), f"message with a system: {ended}")
    counted = client.messages.count_tokens(model="", messages=QUESTION)
    check(counted.input_tokens == whole.usage.input_tokens, f"count_tokens: {counted}")
    try:
        client.messages.create(model="", max_tokens=5, messages=[{"role": "robot", "content": "a"}])
        check(False, "a role robot is taken")
    except anthropic.BadRequestError as error:
        check(error.body["error"]["type"] == "invalid_request_error", f"the error object: {error.body}")


async def many(client):
    """What asyncio programs do: 50 requests, 20 at a time, all with the same answer."""
    gate = asyncio.Semaphore(20)

    async def one():
        async with gate:
            answer = await client.chat.completions.create(model="", messages=QUESTION, temperature=0, max_tokens=32)
            return answer.choices[0].message.content

    texts = await asyncio.gather(*[one() for _ in range(50)])
    check(len(set(texts)) == 1, f"{len(set(texts))} different answers")


url = sys.argv[1]
with openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
    chats(client)
    responses(client)
with anthropic.Anthropic(base_url=url, api_key="none", max_retries=0) as client:
    messages(client)
asyncio.run(many(openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0)))
print(f"openai {openai.__version__}, anthropic {anthropic.__version__}: {len(failures)} failed")
sys.exit(1 if failures else 0)
