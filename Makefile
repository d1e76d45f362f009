# Thin front door; CMake is underneath. `make run` and `make test` work on a fresh Debian 12.
PRESET ?= release
BUILD  ?= build/$(PRESET)
JOBS   ?= $(shell nproc)
# SETUP=0: install nothing. WERROR=ON: warnings are errors, as in CI.
SETUP  ?= 1
PROMPT ?= What is tensor parallelism?

.PHONY: all program configure run test clients soak chaos faults check-full setup setup-full install dist deb wheel clean asan tsan fuzz docs models-doc format
all: configure
	@cmake --build "$(BUILD)" -j $(JOBS)

# Only the program: `make run` shall not wait for the tests to be built.
program: configure
	@cmake --build "$(BUILD)" -j $(JOBS) --target colrow

# -B wins over the preset's folder.
configure: setup
	@cmake --preset $(PRESET) -B "$(BUILD)" $(if $(WERROR),-DCOLROW_WERROR=$(WERROR)) --log-level=WARNING >/dev/null

run: program
	"$(BUILD)/colrow" generate models/demo --tensor-parallel-size 2 --chat -p "$(PROMPT)"

test: all
	ctest --test-dir "$(BUILD)" --output-on-failure -j $(JOBS)

# Clients from the package index, and a long run: tests/clients/README.md.
clients: program
	COLROW="$(abspath $(BUILD))/colrow" python3 tests/clients/run.py

soak: program
	COLROW="$(abspath $(BUILD))/colrow" python3 tests/clients/soak.py

# A thousand faults for each of two sizes; CHAOS="--faults 100 -tp 2" for less.
chaos: program
	COLROW="$(abspath $(BUILD))/colrow" python3 tests/clients/chaos.py $(CHAOS)

# Both compilers, both sanitizers, every checker, every fuzzer for a minute: see .ci/full.
check-full:
	@.ci/full

# Every call and collective of a rank fails once, under load: some ten minutes.
faults: all
	COLROW="$(abspath $(BUILD))/colrow" python3 tests/faults/faults.py

setup:
ifneq ($(SETUP),0)
	@tools/setup.sh
endif

setup-full:
ifneq ($(SETUP),0)
	@tools/setup.sh full
endif

install: all
	cmake --install "$(BUILD)" $(if $(PREFIX),--prefix "$(PREFIX)")

# The Python package for other systems (manylinux), and its source distribution.
wheel: program
	COLROW_BUILD_DIR="$(abspath $(BUILD))" tools/make_wheel.sh build/dist-python

# The committed source as a tarball, the same bytes wherever it is made; packages for this Debian from it.
dist:
	@tools/make_dist.sh build/dist

deb:
	@tools/make_deb.sh build/deb

asan tsan:
	@$(MAKE) --no-print-directory PRESET=$@ test

fuzz: setup-full
	@$(MAKE) --no-print-directory PRESET=$@ SETUP=0 all

# The page of commands and flags, from the program's own tables.
docs: program
	"$(BUILD)/colrow" help --markdown >docs/cli.md

# The table of docs/models.md, from what the goldens of ../shared give.
models-doc: program
	COLROW="$(abspath $(BUILD))/colrow" python3 tests/e2e/test_goldens_split.py --write

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build
