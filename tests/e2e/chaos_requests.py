"""Requests of all kinds whose answers are known: each is one that gives the same bytes every time. Used by chaos.py."""
import http.client
import json
import random
import socket

WORDS = "tensor rank group page step plan weights cache token prompt answer column row shard reduce sum".split()
# what differs from answer to answer, and what every event of a stream repeats
UNSTABLE = {"id", "item_id", "request_id", "created", "created_at", "completed_at", "sequence_number"}
REPEATED = {"type", "object", "model", "system_fingerprint", "service_tier"}
LEAVES = 0.4  # of an answer: what a client that leaves half way waits for


class Failed(Exception):
    """A request without the answer that it should have; `http_status` of one that was refused, else 0."""

    def __init__(self, what, http_status=0):
        super().__init__(what)
        self.http_status = http_status


class Request:
    """One of the mix. `leaves`: the client goes away when it has had so many bytes of the answer's events."""

    def __init__(self, name, path, body, leaves=0):
        self.name, self.path, self.body, self.leaves = name, path, body, leaves
        self.data = json.dumps(body).encode()
        self.streamed = bool(body.get("stream"))


# ---- what a server says, without what differs from time to time ----


def scrub(value, keys):
    if isinstance(value, dict):
        return {key: scrub(item, keys) for key, item in value.items() if key not in keys}
    return [scrub(item, keys) for item in value] if isinstance(value, list) else value


def merge(old, new):
    """Two pieces of a stream as one: texts and lists are joined, so that a piece sent twice shows; else the later one counts."""
    if old is None or new is None:
        return old if new is None else new
    if isinstance(old, dict) and isinstance(new, dict):
        return {key: merge(old.get(key), new.get(key)) for key in {**old, **new}}
    if isinstance(old, (str, list)) and isinstance(new, type(old)):
        return old + new
    return new


def merge_event(whole, event):
    """Choices are found by their index; Anthropic's events and those of responses by their type."""
    choices = event.pop("choices", None)
    kind = event.get("type", "")
    place = f"{kind} {event.get('index', '')}" if kind else "all"
    whole[place] = merge(whole.get(place), scrub(event, UNSTABLE | REPEATED))
    for choice in choices or []:
        place = f"choice {choice['index']}"
        whole[place] = merge(whole.get(place), scrub(choice, UNSTABLE | REPEATED | {"index"}))


def answer_of_stream(data):
    """-> what the events of a whole stream say together; Failed where it is none."""
    whole, ended = {}, False
    for block in data.decode().split("\n\n"):
        lines = [line[6:] for line in block.split("\n") if line.startswith("data: ")]
        if not lines:
            continue
        if ended:
            raise Failed(f"an event after the last one: {block[:200]!r}")
        if lines[0] == "[DONE]":
            ended = True
            continue
        event = json.loads("\n".join(lines))
        if "error" in event and event["error"] is not None or event.get("type") in ("error", "response.failed"):
            raise Failed(f"an error in a stream: {block[:300]!r}")
        ended = event.get("type") in ("message_stop", "response.completed", "response.incomplete")
        merge_event(whole, event)
    if not ended:
        raise Failed(f"a stream that ends with {data[-120:]!r}")
    return json.dumps(whole, sort_keys=True)


def text_of_pieces(data):
    """The text of choice 0 in the whole events of a stream that was left."""
    text = ""
    for block in data.decode(errors="ignore").split("\n\n")[:-1]:
        if not block.startswith("data: ") or block == "data: [DONE]":
            continue
        event = json.loads(block[6:])
        if "error" in event:
            raise Failed(f"an error in a stream: {block[:300]!r}")
        for choice in event.get("choices", []):
            text += choice["text"] if "text" in choice else choice["delta"].get("content") or ""
    return text


# ---- asking ----


def send(connection, request):
    """-> the reply, its body unread."""
    connection.request("POST", request.path, request.data, {"Content-Type": "application/json"})
    reply = connection.getresponse()
    if reply.status != 200:
        raise Failed(f"{reply.status} {reply.read()[:300]!r}", reply.status)
    return reply


def read_events(reply, heard, until=0):
    """The stream's bytes; `heard` is called for each piece. until: stops when there are so many, 0: at the end."""
    data = b""
    while piece := reply.read1(65536):
        heard()
        data += piece
        if until and len(data) >= until:
            break
    return data


def ask(connection, request, heard):
    """Sends the request -> its answer, in a form that is equal for equal answers. A client that leaves closes the connection.
    Raises Failed, OSError or http.client.HTTPException."""
    reply = send(connection, request)
    if not request.streamed:
        data = reply.read()
        return json.dumps(scrub(json.loads(data), UNSTABLE), sort_keys=True)
    if not request.leaves:
        return answer_of_stream(read_events(reply, heard))
    data = read_events(reply, heard, request.leaves)
    if connection.sock and request.leaves % 2:  # half of them without a goodbye
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    reply.close()
    connection.close()
    return text_of_pieces(data)


def is_right(request, answer, known):
    """A client that left has a beginning of what is known."""
    return known.startswith(answer) if request.leaves else answer == known


# ---- the mix ----


class Mix:
    """`n` requests of about `tokens` tokens each, the same for the same seed; `chat`: the model has a chat template."""

    def __init__(self, n, tokens, seed, chat=True, prompt_words=250):
        self.rng, self.tokens, self.prompt_words = random.Random(seed), tokens, prompt_words
        kinds = [self.greedy, self.sampled_twice, self.penalties, self.logprobs, self.long_prompt, self.prompt_logprobs, self.stops, self.min_tokens,
                 self.prompts, self.leaving, self.priority, self.nucleus]
        if chat:
            kinds += [self.chat, self.chat_logprobs, self.chat_leaving, self.messages, self.responses]
        self.stop_text = "the"
        self.requests = [kinds[i % len(kinds)](i) for i in range(n)]

    def words(self, least, most):
        return " ".join(self.rng.choices(WORDS, k=self.rng.randint(least, most)))

    def some(self):
        return self.rng.randint(max(1, self.tokens // 4), self.tokens)

    def completion(self, name, leaves=0, **body):
        body = {"prompt": self.words(3, 30), "max_tokens": self.some(), "ignore_eos": True, "seed": self.rng.randint(0, 1 << 30), **body}
        return Request(name, "/v1/completions", body, leaves)

    def greedy(self, _):
        return self.completion("greedy", temperature=0, max_tokens=self.tokens, stream=True)

    def sampled_twice(self, i):
        streamed = i % 4 != 1
        return self.completion("n=2", temperature=1, n=2, stream=streamed, stream_options={"include_usage": True} if streamed else None)

    def penalties(self, i):
        return self.completion("penalties", temperature=0.8, presence_penalty=0.7, frequency_penalty=0.4, repetition_penalty=1.2,
                               logit_bias={"100": 3, "101": -4}, stream=i % 2 == 0)

    def logprobs(self, i):
        return self.completion("logprobs", temperature=1, logprobs=5, stream=i % 2 == 1, return_token_ids=True)

    def long_prompt(self, i):
        prompt = self.words(self.prompt_words // 2, self.prompt_words)
        return self.completion("long prompt", prompt=prompt, temperature=0.9, stream=i % 3 > 0)

    def prompt_logprobs(self, i):
        if i % 2:
            return self.completion("echo", prompt=self.words(40, 80), echo=True, logprobs=3, temperature=1)
        return self.completion("prompt_logprobs", prompt=self.words(40, 80), prompt_logprobs=2, temperature=1)

    def stops(self, i):
        """One of the strings occurs, the others are begun again and again and never end."""
        return self.completion("stop strings", temperature=0.7, stop=[" output", "the \1", " \1", "e\1"], stream=i % 4 > 0,
                               max_tokens=self.tokens, include_stop_str_in_output=i % 2 == 0)

    def min_tokens(self, i):
        return self.completion("min_tokens", temperature=1, max_tokens=self.tokens, min_tokens=self.tokens // 3, stop=["e", "a"],
                               ignore_eos=False, stream=i % 2 == 0)

    def prompts(self, _):
        return self.completion("two prompts", prompt=[self.words(2, 40), self.words(2, 40)], n=2, temperature=1, stream=True)

    def leaving(self, _):
        return self.completion("client leaves", temperature=1, stream=True, max_tokens=self.tokens, leaves=1)

    def priority(self, i):
        return self.completion("priority", temperature=1, priority=i % 5 - 2, stream=True)

    def nucleus(self, i):
        return self.completion("top_k, top_p, min_p", temperature=1.2, top_k=40, top_p=0.9, min_p=0.01, stream=i % 2 == 0)

    def talk(self, name, path="/v1/chat/completions", leaves=0, **body):
        messages = [{"role": "user", "content": self.words(3, 30)}]
        body = {"messages": messages, "max_tokens": self.some(), "temperature": 1, "seed": self.rng.randint(0, 1 << 30), **body}
        return Request(name, path, body, leaves)

    def chat(self, i):
        return self.talk("chat", stream=i % 2 == 0, ignore_eos=True)

    def chat_logprobs(self, i):
        return self.talk("chat, top_logprobs", logprobs=True, top_logprobs=3, n=2, stream=i % 3 > 0)

    def chat_leaving(self, _):
        return self.talk("chat client leaves", stream=True, ignore_eos=True, max_tokens=self.tokens, leaves=1)

    def messages(self, i):
        request = self.talk("messages", "/v1/messages", temperature=0, stream=i % 2 == 0)
        return Request(request.name, request.path, {key: value for key, value in request.body.items() if key != "seed"})

    def responses(self, i):
        body = {"input": self.words(3, 30), "max_output_tokens": max(16, self.some()), "temperature": 0, "stream": i % 2 == 1}
        return Request("responses", "/v1/responses", body)


def vllm_shape(clients, each, tokens, seed):
    """What is asked in comparisons of servers: streams of one length, sampled."""
    rng = random.Random(seed)
    body = {"max_tokens": tokens, "ignore_eos": True, "temperature": 1, "stream": True}
    return [Request("stream", "/v1/completions", {**body, "prompt": " ".join(rng.choices(WORDS, k=32)), "seed": i}) for i in range(clients * each)]


def full_answer(connection, request):
    """The answer of an undisturbed server, also to a client that would leave; sets when it leaves."""
    if not request.leaves:
        return ask(connection, request, lambda: None)
    data = read_events(send(connection, request), lambda: None)
    answer_of_stream(data)
    request.leaves = max(1, int(len(data) * LEAVES))
    return text_of_pieces(data)


ERRORS = (Failed, OSError, http.client.HTTPException, ValueError)
