# Thin front door; CMake is underneath. `make run` and `make test` work on a fresh Debian 12.
BUILD ?= build/release
JOBS  ?= $(shell nproc)
PROMPT ?= What is tensor parallelism?

.PHONY: all program configure run test setup install clean asan tsan fuzz format
all: configure
	@cmake --build $(BUILD) -j $(JOBS)

# Only the program: `make run` shall not wait for the tests to be built.
program: configure
	@cmake --build $(BUILD) -j $(JOBS) --target colrow

configure: setup
	@cmake --preset release --log-level=WARNING >/dev/null

run: program
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
