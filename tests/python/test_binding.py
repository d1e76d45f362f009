#!/usr/bin/env python3
"""The structs and functions that Python has are the headers', member by member; a newer header may have more at the
ends. Every argument of an engine and of a request names a member that is there, and defaults are those of vLLM."""
import ctypes
import re

from python_case import ROOT, skip  # noqa: F401
from support import check, finish

import colrow
from colrow import engine_args, library, sampling_params, structs

try:
    from colrow import parallel_state
except ImportError:
    parallel_state = None

PLAIN = {"size_t": ctypes.c_size_t, "int": ctypes.c_int, "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64,
         "uint64_t": ctypes.c_uint64, "double": ctypes.c_double, "float": ctypes.c_float}
WITHOUT_SIZE = {"TokenBias", "TokenLogprob", "Message", "Linear"}  # nobody tells the library how long these are
STRUCTS = {"colrow_options": "Options", "colrow_token_bias": "TokenBias", "colrow_sampling": "Sampling",
           "colrow_logprob": "TokenLogprob", "colrow_output": "Output", "colrow_prompt": "Prompt",
           "colrow_message": "Message", "colrow_gauges": "Gauges", "colrow_info": "Info",
           "colrow_statistics": "Statistics", "colrow_linear": "Linear"}


def header(name):
    with open(f"{ROOT}/include/colrow/{name}", encoding="utf-8") as file:
        text = file.read()
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.S)


text = header("colrow.h") + header("parallel.h")


def members(name):
    """-> [(member, type as the header says it, number of stars)]"""
    body = re.search(r"struct %s \{(.*?)\};" % name, text, re.S).group(1)
    for declaration in filter(None, (" ".join(part.split()) for part in body.split(";"))):
        function = re.search(r"\(\*(\w+)\)", declaration)
        if function:
            yield function.group(1), "function", 1
            continue
        base = re.match(r"(?:const )?(enum \w+|struct \w+|\w+)", declaration)
        for declarator in declaration[base.end():].split(","):
            yield re.search(r"(\w+)(?:\[\w+\])?$", declarator.strip()).group(1), base.group(1), declarator.count("*")


def fits(found, kind, stars):
    if stars == 0:
        return found is (ctypes.c_int if kind.startswith("enum") else PLAIN.get(kind))
    if kind in ("function", "void"):
        return found is ctypes.c_void_p
    if kind == "char":
        return found in ((ctypes.c_char_p, ctypes.c_void_p) if stars == 1 else (ctypes.POINTER(ctypes.c_char_p),))
    inner = getattr(structs, STRUCTS.get(kind.replace("struct ", ""), ""), None) or PLAIN.get(kind)
    return found is ctypes.POINTER(inner)


n_members = 0
for c_name, name in STRUCTS.items():
    struct = getattr(structs, name)
    wanted = list(members(c_name))
    check(len(wanted) >= len(struct._fields_), f"{name} has more members than struct {c_name}")
    check(name not in WITHOUT_SIZE or len(wanted) == len(struct._fields_), f"struct {c_name} has other members than {name}")
    for (found, kind), (member, c_type, stars) in zip(struct._fields_, wanted):
        n_members += 1
        check(found == member and fits(kind, c_type, stars), f"{c_name}.{member} ({c_type}) is {name}.{found} ({kind})")

functions = dict(library._FUNCTIONS)
if parallel_state:
    functions.update(parallel_state._FUNCTIONS)
for name, (result, arguments) in functions.items():
    found = re.search(r"COLROW_API ([\w *]*?)\b%s\((.*?)\);" % name, text, re.S)
    if not check(found, f"{name}() is in no header"):
        continue
    parameters = [] if found.group(2).strip() == "void" else found.group(2).split(",")
    check(len(parameters) == len(arguments), f"{name}() has {len(parameters)} parameters; Python gives {len(arguments)}")
    check((result is None) == (found.group(1).strip() == "void"), f"{name}() returns {found.group(1)}")

for argument, (member, _) in engine_args.ARGUMENTS.items():
    check(member in dict(structs.Options._fields_), f"{argument}: colrow_options has no {member}")
check(not set(engine_args.ARGUMENTS) & (set(engine_args.ONLY) | engine_args.WITHOUT_EFFECT), "an argument stands twice")

options = structs.Options()
library.library().colrow_options_init_sized(ctypes.byref(options), ctypes.sizeof(options))
check(options.struct_size == ctypes.sizeof(options) and options.tensor_parallel_size == 1
      and options.gpu_memory_utilization == 0.92 and options.enable_prefix_caching == 1, "options have other defaults")
sampling, _ = sampling_params.sampling_struct(sampling_params.SamplingParams(), 100)
check((sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.logprobs, sampling.n) == (1, 1, 16, -1, 1),
      "a request has other defaults")
with open(f"{ROOT}/CMakeLists.txt", encoding="utf-8") as file:
    version = re.search(r"project\(colrow VERSION ([\d.]+)", file.read()).group(1)
check(colrow.__version__ == version and library.library().colrow_version().decode().startswith(version),
      f"the package is {colrow.__version__}, CMake's {version}, the library {library.library().colrow_version()}")
finish(f"{n_members} members of {len(STRUCTS)} structs, {len(functions)} functions")
