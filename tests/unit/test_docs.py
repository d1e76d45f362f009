#!/usr/bin/env python3
"""Documents and code agree: what pages name in `code` exists (paths, functions(), --flags, COLROW_ variables), links
lead somewhere, and every flag and variable that the code has is on docs/cli.md, which is what the program prints.
Markdown keeps to 120 columns, but for tables, code and links."""
import glob
import os
import re
import subprocess
import sys

ROOT = os.environ.get("SOURCE_DIR", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
COLROW = os.environ.get("COLROW", os.path.join(ROOT, "build/release/colrow"))
COLUMNS_MAX = 120
# Pages whose names are held to the code. CHANGELOG.md may name what is gone.
PAGES = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "tools/README.md"]
# Flags of other programs that the pages name.
FOREIGN_FLAGS = set("--build --preset --target --test-dir --output-on-failure --prefix --cflags --libs --rerun-failed --from-file "
                    "--args --ff-only --help --version --man --markdown --bash --zsh --fish --swap-space --rpc --port "
                    "--max-restarts --map-by".split())
# What readers of CONTRIBUTING.md make in their first hour.
EXERCISE = {"src/cmd/count.c", "tests/e2e/test_count.sh", "--words"}
failures = []


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def tracked(*patterns):
    """Files below the root, as git would list them, in a folder that may be none of git's."""
    found = []
    for pattern in patterns:
        found += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    files = {os.path.relpath(path, ROOT) for path in found if os.path.isfile(path)}
    return sorted(path for path in files if not path.startswith(("build", "Testing", "python/build")))


sources = tracked("src/**/*.[ch]", "include/**/*.h", "tests/**/*.[ch]", "bench/*.c", "examples/*.c")
scripts = tracked("tests/**/*.py", "tests/**/*.sh", "tools/**/*.py", "tools/*.sh", "python/**/*.py", "bench/*.py", "bench/*.sh", ".ci/*",
                  "cmake/*", "CMakeLists.txt", "CMakePresets.json", "Makefile")
program = "\n".join(read(path) for path in sources if not path.startswith("tests/"))
everything = "\n".join(read(path) for path in sources + scripts)
names = {os.path.basename(path) for path in sources + scripts + tracked("**/*.md", "**/*.json", "**/*.txt")}
called = set(re.findall(r"\b([A-Za-z_]\w*)\s*\(", everything))
variables = set(re.findall(r"\bCOLROW_[A-Z0-9_]+\b", everything))
flags_of_scripts = set(re.findall(r'add_argument\("(--[a-z][a-z0-9-]+)"', "\n".join(read(path) for path in scripts)))


def check(condition, where, what):
    if not condition:
        failures.append(f"{where}: {what}")


# --- docs/cli.md is what the program says, and it says everything ---
page = subprocess.run([COLROW, "help", "--markdown"], capture_output=True, text=True, check=True).stdout
check(page == read("docs/cli.md"), "docs/cli.md", "differs from `colrow help --markdown`; write it again with `make docs`")
flags = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", page))
check(len(flags) > 60, "docs/cli.md", f"names only {len(flags)} flags; has its form changed?")
for variable in sorted(set(re.findall(r'(?:getenv|setenv)\("(COLROW_\w+)"', program)
                           + re.findall(r'_VARIABLE "(COLROW_\w+)"', program))):
    check(f"`{variable}`" in page, "docs/cli.md", f"says nothing about {variable} (src/cmd/manual.c lists variables)")
for variable in re.findall(r"^\| `(COLROW_\w+)`", page, re.M):
    check(f'"{variable}"' in program.replace(f'{{"{variable}"', ""), "docs/cli.md", f"{variable} is read nowhere")


# --- pages name what exists ---
def path_exists(text, page):
    pattern = re.sub(r"<[a-zA-Z_]+>|NAME|\*\*", "*", text.rstrip("/"))
    bases = ["", "src", "include", os.path.dirname(page)]
    return any(glob.glob(os.path.join(ROOT, base, pattern)) for base in bases)


def check_code(page, line_number, code, block):
    where = f"{page}:{line_number}"
    for name in re.findall(r"(?<![\w.>])([a-z_][a-z0-9_]+)\(\)", code):
        check(name in called, where, f"{name}() is nowhere")
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z0-9_-]*[a-z0-9]", code):
        known = flag.replace("_", "-") in flags or flag in FOREIGN_FLAGS or flag in flags_of_scripts | EXERCISE
        check(known, where, f"no command has the flag {flag}")
    for variable in re.findall(r"\bCOLROW_[A-Z0-9_]+\b", code):
        check(variable in variables, where, f"{variable} is nowhere in the code")
    if block:
        return
    for path in re.findall(r"(?<![\w~/.$<-])((?:[\w.*<>-]+/)*[\w.*<>-]+\.(?:c|h|py|sh|md|json|txt|cmake))\b", code):
        if "/" in path:
            check(path in EXERCISE or path_exists(path, page), where, f"{path} does not exist")
        elif re.fullmatch(r"[\w-]+\.(c|h|py|sh|cmake)", path):
            check(path in names, where, f"no file is called {path}")
    for folder in re.findall(r"(?<![\w~/.-])((?:src|tests|tools|docs|bench|cmake|examples|include|models|findings)/[\w/*-]*)(?![\w.*<])", code):
        check(path_exists(folder, page), where, f"{folder} does not exist")


def anchors(path):
    titles = re.findall(r"^#+ (.*)$", read(path), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def check_page(page):
    block = False
    for number, line in enumerate(read(page).split("\n"), 1):
        if line.lstrip().startswith("```"):
            block = not block
            continue
        if not block and not line.startswith("|"):
            bare = re.sub(r"\]\([^)]*\)|https?://\S+", "", line)
            check(len(bare) <= COLUMNS_MAX, f"{page}:{number}", f"{len(line)} columns, at most {COLUMNS_MAX}")
        if page in held:
            for code in [line] if block else re.findall(r"`([^`]+)`", line):
                check_code(page, number, code, block)
        for target in [] if block else re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", line)):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            if not os.path.exists(os.path.join(ROOT, path)):
                check(False, f"{page}:{number}", f"the link to {target} leads nowhere")
            elif anchor:
                check(anchor in anchors(path), f"{page}:{number}", f"{path} has no section #{anchor}")


held = set(tracked(*PAGES))
pages = tracked("*.md", "docs/*.md", "tools/*.md", "tests/**/*.md", "models/**/*.md", "findings/*.md", "bench/*.md")
for page_path in pages:
    check_page(page_path)
for failure in failures:
    print(failure)
print(f"{len(pages)} pages, {len(flags)} flags: {len(failures)} disagreements")
sys.exit(1 if failures else 0)
