"""What the tests of the Python package share: the end-to-end tests' support, the package as it lies in the repository
with the build's library, and skips that can be seen."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from support import COLROW, DEMO, ROOT, SANITIZE, skip  # noqa: E402

os.environ.setdefault("COLROW_LIBRARY", os.path.join(os.path.dirname(os.path.abspath(COLROW)), "libcolrow.so.0"))
sys.path.insert(0, os.path.join(ROOT, "python"))

if SANITIZE:
    skip("Python itself is built without sanitizers, and cannot load a library that has them")
if not os.path.exists(os.environ["COLROW_LIBRARY"]):
    skip(f"{os.environ['COLROW_LIBRARY']} is not built")

SMALL = {"gpu_memory_utilization": 0.1, "max_model_len": 512, "kv_cache_memory_bytes": 32 << 20}


def need_demo():
    """Skips the test where the demo model is missing."""
    if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
        skip("models/demo is not here")


def refused(check, kind, words, call):
    """Checks that `call` raises `kind`, with these words in one line."""
    try:
        call()
    except kind as error:
        sentence = str(error)
        check(all(word in sentence for word in words) and "\n" not in sentence, f"{words} expected in {sentence!r}")
        return sentence
    except Exception as error:  # pylint: disable=broad-except
        check(False, f"{words}: {type(error).__name__}: {error}; expected {kind.__name__}")
        return str(error)
    check(False, f"{words}: nothing was refused; expected {kind.__name__}")
    return ""
