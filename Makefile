# A thin front: every target is a script or a CMake preset that can be run by hand.
JOBS = $(shell tools/jobs.sh)
PREFIX ?= /usr/local
PROMPT ?= Why is the sky blue? Answer in two sentences.
BIN = build/bin/autoglm

.PHONY: build run test check bench bench-serve optimize-demo fuzz soak format lint dist install uninstall clean setup help

help:
	@echo "make run        install what is needed, build, fetch a small model, answer a prompt (PROMPT='...')"
	@echo "make test       install what is needed, build, run every test"
	@echo "make build      only $(BIN)"
	@echo "make check      format, full clang-tidy, address/UB and thread sanitizers"
	@echo "make bench      our speed beside llama.cpp and OpenVINO, with the machine's roofs (BENCH='--only smollm2 --reps 3')"
	@echo "make bench-serve  our server beside llama.cpp's under load (BENCH='--only shared --reps 2')"
	@echo "make optimize-demo  our quantizer beside llama.cpp's at equal bytes, from nothing (DEMO='--only smollm2 --sizes Q4_K_M')"
	@echo "make fuzz       every fuzz target for FUZZ_SECONDS (60)"
	@echo "make soak       SOAK_REQUESTS (100000) short requests on a tiny model under ASan: right answers, flat memory"
	@echo "make format lint dist install uninstall clean"

setup:
	@tools/setup.sh build

build: setup
	@mkdir -p build && { [ -f build/release/build.ninja ] || cmake --preset release -DAUTOGLM_TESTS=OFF >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }; }
	@cmake --build --preset release -j $(JOBS) --target autoglm

run: build
	@$(BIN) run smollm2:135m --pull always --max-tokens 128 "$(PROMPT)"
	@$(BIN) list --suggest

test:
	@tools/setup.sh test
	@tools/fetch_test_data.sh
	@cmake --preset release -DAUTOGLM_TESTS=ON >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }
	@cmake --build --preset release -j $(JOBS)
	@ctest --test-dir build/release --output-on-failure -j 2

check:
	@tools/check.sh

bench: build
	@tools/setup.sh bench
	@tools/fetch_test_data.sh
	@python3 bench/compare.py $(BENCH)

bench-serve: build
	@tools/setup.sh bench
	@tools/fetch_test_data.sh
	@python3 bench/serve.py $(BENCH)

optimize-demo: build
	@tools/setup.sh bench
	@tools/fetch_test_data.sh
	@python3 bench/quantizers.py $(DEMO)
	@python3 bench/optimize_demo.py

fuzz:
	@tools/fuzz.sh $(or $(FUZZ_SECONDS),60)

soak:
	@tools/soak.sh $(or $(SOAK_REQUESTS),100000)

format:
	@tools/format.sh --fix

lint:
	@tools/lint.sh --all

dist: build
	@tools/dist.sh

install: build
	@tools/install.sh $(DESTDIR)$(PREFIX)

uninstall:
	@tools/install.sh --remove $(DESTDIR)$(PREFIX)

clean:
	rm -rf build dist
