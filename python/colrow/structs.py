"""The structs of `colrow/colrow.h` as ctypes sees them, member by member in the header's order.

A library that is newer than this file has more members at their ends, which their sizes tell it
(`struct_size`); `tests/python/test_binding.py` holds the rest to the header.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from typing import Any


class Options(ctypes.Structure):
    """`struct colrow_options`: how an engine is opened."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("model", c_char_p),
        ("tensor_parallel_size", c_int),
        ("dtype", c_char_p),
        ("max_model_len", c_int64),
        ("max_num_seqs", c_int),
        ("max_num_batched_tokens", c_int),
        ("gpu_memory_utilization", c_double),
        ("kv_cache_memory", c_int64),
        ("kv_cache_dtype", c_char_p),
        ("tp_plan", c_char_p),
        ("reduction_leaves", c_int),
        ("product_order", c_char_p),
        ("threads_per_rank", c_int),
        ("collective_timeout", c_double),
        ("seed", c_uint64),
        ("rank_program", c_char_p),
        ("prompt_logits", c_int),
        ("capture_hidden_states", c_int),
        ("log_level", c_int),
        ("progress", c_void_p),
        ("progress_context", c_void_p),
        ("enable_prefix_caching", c_int),
        ("scheduling_policy", c_char_p),
        ("log_json", c_int),
        ("kv_offloading_size", c_double),
        ("step_timeout", c_double),
        ("canary_interval", c_double),
        ("restarts", c_int),
        ("confinement", c_int),
        ("core_dumps", c_int),
        ("launcher", c_int),
        ("tp_plan_replace", c_char_p),
        ("pipeline_parallel_size", c_int),
        ("pp_layer_partition", c_char_p),
        ("nnodes", c_int),
        ("node_rank", c_int),
        ("master_addr", c_char_p),
        ("master_port", c_int),
        ("rdzv_id", c_char_p),
        ("cluster_key_file", c_char_p),
        ("join_timeout", c_double),
        ("rejoin_timeout", c_double),
        ("degrade", c_int),
        ("node_timeout", c_double),
        ("interrupted", c_void_p),
        ("interrupted_context", c_void_p),
        ("enable_expert_parallel", c_int),
        ("expert_parallel_size", c_int),
        ("speculative_config", c_char_p),
        ("decode_context_parallel_size", c_int),
        ("quantization", c_char_p),
        ("quantization_group_size", c_int),
        ("quantization_lm_head", c_char_p),
    ]


class TokenBias(ctypes.Structure):
    """`struct colrow_token_bias`."""

    _fields_ = [("id", c_int32), ("bias", c_float)]


class Sampling(ctypes.Structure):
    """`struct colrow_sampling`: how the tokens of a request are drawn."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("temperature", c_double),
        ("top_p", c_double),
        ("top_k", c_int),
        ("min_p", c_double),
        ("repetition_penalty", c_double),
        ("presence_penalty", c_double),
        ("frequency_penalty", c_double),
        ("has_seed", c_int),
        ("seed", c_uint64),
        ("logit_bias", POINTER(TokenBias)),
        ("n_logit_bias", c_int),
        ("max_tokens", c_int),
        ("min_tokens", c_int),
        ("ignore_eos", c_int),
        ("stop", POINTER(c_char_p)),
        ("n_stop", c_int),
        ("stop_lengths", POINTER(c_size_t)),
        ("stop_token_ids", POINTER(c_int32)),
        ("n_stop_token_ids", c_int),
        ("include_stop_str_in_output", c_int),
        ("skip_special_tokens", c_int),
        ("logprobs", c_int),
        ("prompt_logits", c_int),
        ("n", c_int),
        ("max_length", c_int),
        ("priority", c_int64),
    ]


class TokenLogprob(ctypes.Structure):
    """`struct colrow_logprob`."""

    _fields_ = [("id", c_int32), ("logprob", c_float), ("rank", c_int)]


class Output(ctypes.Structure):
    """`struct colrow_output`: what a step has brought for one sequence of a request."""

    _fields_ = [
        ("request", c_uint64),
        ("index", c_int),
        ("ids", POINTER(c_int32)),
        ("n_ids", c_int),
        ("text", c_void_p),
        ("text_length", c_size_t),
        ("logprobs", POINTER(TokenLogprob)),
        ("n_logprobs", c_int),
        ("prompt_logits", POINTER(c_float)),
        ("n_prompt_logits", c_int),
        ("prompt_position", c_int64),
        ("finish", c_int),
        ("stop_reason", c_void_p),
        ("stop_reason_length", c_size_t),
        ("stop_token", c_int32),
        ("error", c_char_p),
        ("error_class", c_int),
        ("prompt_tokens", c_int),
        ("completion_tokens", c_int),
        ("cached_tokens", c_int),
        ("preemptions", c_int),
        ("queue_seconds", c_double),
    ]


class Prompt(ctypes.Structure):
    """`struct colrow_prompt`."""

    _fields_ = [
        ("struct_size", c_size_t),
        ("text", c_char_p),
        ("text_length", c_size_t),
        ("ids", POINTER(c_int32)),
        ("n_ids", c_int),
        ("no_special_tokens", c_int),
        ("cache_salt", c_char_p),
        ("cache_salt_length", c_size_t),
    ]


class Message(ctypes.Structure):
    """`struct colrow_message`: one turn of a chat."""

    _fields_ = [("role", c_char_p), ("content", c_char_p)]


class Gauges(ctypes.Structure):
    """`struct colrow_gauges`: what is so now."""

    _fields_ = [
        ("state", c_int),
        ("restarts", c_int),
        ("bytes_loaded", c_uint64),
        ("bytes_total", c_uint64),
        ("requests", c_int),
        ("running_sequences", c_int),
        ("waiting_sequences", c_int),
        ("kv_pages_used", c_int64),
        ("kv_pages", c_int64),
        ("paused_sequences", c_int),
        ("kv_pages_usable", c_int64),
        ("seconds_since_step", c_double),
        ("step_overdue", c_int),
        ("last_failure", c_char_p),
        ("nodes", c_int),
        ("nodes_serving", c_int),
    ]


class Info(ctypes.Structure):
    """`struct colrow_info`: what the engine has chosen."""

    _fields_ = [
        ("tensor_parallel_size", c_int),
        ("vocab_size", c_int),
        ("num_hidden_layers", c_int),
        ("hidden_size", c_int),
        ("max_model_len", c_int64),
        ("kv_pages", c_int64),
        ("kv_page_tokens", c_int64),
        ("dtype", c_char_p),
        ("kv_cache_dtype", c_char_p),
        ("isa", c_char_p),
        ("architecture", c_char_p),
        ("product_order", c_char_p),
        ("threads_per_rank", c_int),
        ("max_new_tokens", c_int),
        ("max_length", c_int),
        ("prefix_caching", c_int),
        ("kv_host_pages", c_int64),
        ("pipeline_parallel_size", c_int),
        ("n_ranks", c_int),
        ("speculative_tokens", c_int),
        ("quantization", c_char_p),
    ]


class Statistics(ctypes.Structure):
    """`struct colrow_statistics`: what has been since the engine was opened."""

    _fields_ = [
        ("prompt_tokens", c_uint64),
        ("generated_tokens", c_uint64),
        ("steps", c_uint64),
        ("prefill_seconds", c_double),
        ("decode_seconds", c_double),
        ("prefill_tokens", c_uint64),
        ("decode_tokens", c_uint64),
        ("load_seconds", c_double),
        ("preemptions", c_uint64),
        ("overhead_seconds", c_double),
        ("prefix_cache_queries", c_uint64),
        ("prefix_cache_hits", c_uint64),
        ("cached_prompt_tokens", c_uint64),
        ("prefix_cache_host_hits", c_uint64),
        ("kv_pages_offloaded", c_uint64),
        ("kv_pages_loaded", c_uint64),
        ("restarts", c_uint64),
        ("replayed_tokens", c_uint64),
    ]


class Linear(ctypes.Structure):
    """`struct colrow_linear` of `colrow/parallel.h`."""

    _fields_ = [
        ("in_features", c_size_t),
        ("out_features", c_size_t),
        ("weight", POINTER(c_float)),
        ("bias", POINTER(c_float)),
        ("skip_bias_add", c_int),
        ("gather_output", c_int),
        ("input_is_parallel", c_int),
    ]


def as_dict(struct: ctypes.Structure) -> dict[str, Any]:
    """Returns a filled struct as a dict; texts are decoded.

    Parameters
    ----------
    struct : ctypes.Structure
        Without pointers but to texts.
    """
    values = {}
    for name, *_ in struct._fields_:
        value = getattr(struct, name)
        values[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return values
