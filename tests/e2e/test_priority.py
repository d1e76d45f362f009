#!/usr/bin/env python3
"""--scheduling-policy and the field `priority`: who goes first, and that answers do not depend on it."""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_client import Server
from support import check, finish, run, DEMO

PRIORITIES = [3, 2, 1, 0, -1, -2]
# More ranks than most machines have cores: the long request takes a while.
FLAGS = ("-tp", 4, "--max-model-len=1024", "--kv-cache-memory=64MB", "--max-num-seqs=1", "--disable-log-requests")


def one_after_the_other(server):
    """Requests that wait behind a long one -> the order in which they are answered, and their texts.
    None where the long one was over before all were waiting."""
    order, texts, lock = [], {}, threading.Lock()

    def ask(priority):
        body = {"prompt": "Tensor parallelism", "max_tokens": 80, "temperature": 0, "ignore_eos": True, "priority": priority}
        status, answer = server.post("/v1/completions", **body)
        with lock:
            order.append(priority)
            texts[priority] = answer["choices"][0]["text"] if status == 200 else answer

    def hold():
        server.post("/v1/completions", prompt="A long one", max_tokens=1000, temperature=0, ignore_eos=True, priority=-9)

    def waiting(n):
        return not threads[0].is_alive() or server.metric("vllm:num_requests_waiting") == n

    threads = [threading.Thread(target=hold)]
    threads[0].start()
    server.wait_for(lambda: server.metric("vllm:num_requests_running") == 1)
    for n, priority in enumerate(PRIORITIES):
        threads.append(threading.Thread(target=ask, args=(priority,)))
        threads[-1].start()
        server.wait_for(lambda: waiting(n + 1))
    in_time = threads[0].is_alive()
    for thread in threads:
        thread.join()
    return (order, texts) if in_time else None


for policy, wanted in (("fcfs", PRIORITIES), ("priority", sorted(PRIORITIES))):
    with Server(*FLAGS, *(["--scheduling-policy", policy] if policy != "fcfs" else [])) as server:
        found = None
        for attempt in range(5):
            found = found or one_after_the_other(server)
        if check(found, f"{policy}: the long request was over too early, five times"):
            check(found[0] == wanted, f"{policy}: answered in the order {found[0]}, expected {wanted}")
            check(len(set(found[1].values())) == 1, f"{policy}: one answer whatever the priority: {found[1]}")
refused = run("serve", DEMO, "--scheduling-policy", "fair", "--port", 0)
check(refused.returncode == 2 and "expected fcfs" in refused.stderr, f"--scheduling-policy fair: {refused.stderr}")
finish("priority")
