# Thin front door; CMake is underneath. `make run` and `make test` work on a fresh Debian 12.
BUILD ?= build/release
JOBS  ?= $(shell nproc)
PROMPT ?= What is tensor parallelism?

.PHONY: all run test setup install clean asan tsan fuzz format
all: setup
	@cmake --preset release $(if $(VERBOSE),,--log-level=WARNING) >/dev/null
	@cmake --build $(BUILD) -j $(JOBS) $(if $(VERBOSE),,-- --no-print-directory) | grep -v '^\[' || true
	@cmake --build $(BUILD) -j $(JOBS) >/dev/null

run: all
	$(BUILD)/colrow generate models/demo --tensor-parallel-size 2 --chat -p "$(PROMPT)"

test: all
	ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS)

setup:
	@tools/setup.sh

install: all
	cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))

asan tsan: setup
	cmake --preset $@ >/dev/null
	cmake --build build/$@ -j $(JOBS)
	ctest --test-dir build/$@ --output-on-failure -j $(JOBS)

fuzz: setup
	cmake --preset fuzz >/dev/null
	cmake --build build/fuzz -j $(JOBS)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build
