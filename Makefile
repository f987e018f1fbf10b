# ferrio's commands. Each prints what it does, and rebuilds only what is out of date. They need only a Rust toolchain
# and CPython 3.11 or newer. For another Python: make PYTHON=/path/to/python3.12 test (environments coexist).

PYTHON ?= $(shell sh tools/find-python)
# These run Python, so they are expanded only in the recipes that use them, not for `make help`.
TAG = $(shell $(PYTHON) -c 'import sys; print("%d.%d%s" % (*sys.version_info[:2], sys.abiflags))')
BIN = .venv-$(TAG)/bin
DEVELOP = $(PYTHON) tools/develop.py
# Loom explores how threads interleave; two preemptions are enough to find bugs, and take seconds.
LOOM = RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 CARGO_TARGET_DIR=target/loom
# Further arguments: make test TESTS="-k queue", make bench BENCH="--only queue",
# make conformance CONFORMANCE="--only Gather -v", make test-libraries LIBRARIES="-k aiohttp"
BENCH =
TESTS =
LIBRARIES =
SUITES =
RUST_ASYNC =
BROWSER =
CONFORMANCE =
FUZZ ?=
SANITIZE =
SECONDS = 60
FAULTS =
COUNT = 10000
MINUTES ?= 10
SOAK =

.DEFAULT_GOAL := help
.PHONY: help run test test-all test-rust compile-tests build-for-tests test-python test-libraries test-libraries-suites \
	test-testing test-browser test-rust-async sanitize sanitize-rust-async fuzz soak faults interrupts bench \
	bench-programs bench-files bench-pools bench-explorers bench-page bench-processes bench-net bench-rust-async \
	bench-scaling docs lint conformance wheels sdist clean python

help: ## list the commands
	@echo "make run          build ferrio in release mode and run examples/breakfast.py on it"
	@echo "make test         build, then run every test: the engine's, loom's, Python's"
	@echo "make test-all     the Python tests on every Python from 3.11 to 3.15 that we can get, with and without the GIL"
	@echo "make test-libraries  aiohttp, uvicorn and others, unchanged on ferrio; writes docs/libraries.md (minutes; many packages)"
	@echo "make test-testing    docs/testing.md, with pytest-asyncio, anyio, freezegun and time-machine; the page on uvloop"
	@echo "make test-libraries-suites  aiohttp's and uvicorn's own tests on asyncio and on ferrio (a quarter of an hour)"
	@echo "make fuzz SECONDS=60  random programs of asyncio's API on ferrio and on asyncio of 3.15, logs compared;"
	@echo "                  and the engine's parsers and queues, if there is cargo-fuzz"
	@echo "make faults       each system call of ferrio's and each allocation fails in turn, in a program of everything (minutes)"
	@echo "make interrupts COUNT=10000  programs interrupted at random bytecodes: no hang, nothing lost (minutes)"
	@echo "make soak MINUTES=60  a server of everything on ferrio under load and disturbances, whose levels mustn't rise"
	@echo "make test-browser  the page that --trace writes, in the system's chromium without a window (a minute)"
	@echo "make test-rust-async  the crate ferrio-async and the extension modules that use it (minutes the first time)"
	@echo "make sanitize     the tests with AddressSanitizer, a program of everything under Valgrind, and the tests on a Python"
	@echo "                  with assertions; SANITIZE=valgrind runs one part (an hour; needs a nightly Rust toolchain)"
	@echo "make sanitize-rust-async  the crate's tests with AddressSanitizer (needs a nightly Rust toolchain; many minutes)"
	@echo "make bench        compare with asyncio, uvloop and rloop (minutes; needs a quiet machine)"
	@echo "make bench-programs  compare redis, asyncpg, aiohttp, httpx, websockets, gRPC on each loop (a quarter of an hour)"
	@echo "make bench-files  compare files with aiofiles, threads and a plain read (a minute or two)"
	@echo "make bench-pools  compare calls in other processes with the pool itself (a minute)"
	@echo "make bench-explorers  orders a second of the test bench, compared with detangle and simloom (a minute)"
	@echo "make bench-processes  compare child processes with the peers, and how long a start blocks the loop (minutes)"
	@echo "make bench-net    compare servers on each, and one in C, under load (half an hour; needs a quiet machine and cc)"
	@echo "make bench-page   how long a trace of a million events takes to load and to draw in chromium (half a minute)"
	@echo "make bench-rust-async  compare an await of a Rust future with pyo3-async-runtimes (minutes)"
	@echo "make bench-scaling  compare two loops on two threads with one (PYTHON=/path/to/python3.14t)"
	@echo "make docs         build the pages of docs/ as a site in target/site, readable without a server or network"
	@echo "make lint         formatting, lints, types"
	@echo "make conformance  the interpreter's own test.test_asyncio on ferrio, on each Python found"
	@echo "make sdist        build dist/ferrio-*.tar.gz, and check that pip can build and install it"
	@echo "make wheels       build and check the sdist and a manylinux wheel for each Python found (minutes each)"
	@echo "make clean        remove what the other commands made"
	@echo
	@echo "PYTHON=/path/to/python3.12 chooses the interpreter; the default is the newest of python3.15 ... python3.11"
	@echo "on PATH. tools/get-python 3.15 fetches one where the distribution has none (Debian)."

python:
	@python="$(PYTHON)"; test -n "$$python" || exit 1; \
	"$$python" -c '' || { echo "PYTHON=$$python doesn't run; give the path of a CPython >= 3.11" >&2; exit 1; }

run: python ## run the first example
	@$(DEVELOP)
	@echo ">> python -m ferrio examples/breakfast.py"
	@$(BIN)/python -m ferrio examples/breakfast.py

test: test-rust test-python ## every test

test-rust:
	@command -v cargo >/dev/null || { echo "no cargo on PATH: install a Rust toolchain (https://rustup.rs) of version 1.88 or newer" >&2; exit 1; }
	@echo ">> the engine's tests"
	@cargo test --quiet --package ferrio-engine
	@echo ">> the engine's cross-thread parts under loom"
	@$(LOOM) cargo test --quiet --release --package ferrio-engine --test loom

compile-tests: python # what the tests of Rust code compile, so that CI can do it beside others
	@cargo test --quiet --no-run --package ferrio-engine
	@$(LOOM) cargo test --quiet --no-run --release --package ferrio-engine --test loom
	@$(DEVELOP) --environment rust --with test --with rust-async --without-module
	@.venv-rust-$(TAG)/bin/python tests/rust_async/build.py

build-for-tests: python # the module and the packages that the Python tests need
	@$(DEVELOP) --for-tests --with test

test-python: build-for-tests
	@echo ">> the Python tests ($(BIN)/python -m pytest)"
	@$(BIN)/python -m pytest -n 2 $(TESTS)

test-all: test-rust ## every test on every Python
	@tools/test-all

test-libraries: python ## real libraries, unchanged
	@$(DEVELOP) --environment libraries --with libraries
	@PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 .venv-libraries-$(TAG)/bin/python -m pytest -p pytest_timeout tests/libraries --write-table $(LIBRARIES)

test-testing: python ## the test bench with other plugins of pytest
	@$(DEVELOP) --environment testing --with testing
	@.venv-testing-$(TAG)/bin/python -m pytest -o asyncio_default_fixture_loop_scope=function tests/testing $(TESTING)

test-libraries-suites: python ## aiohttp's and uvicorn's own tests
	@$(DEVELOP) --environment suites --with suites
	@.venv-suites-$(TAG)/bin/python tests/libraries/suites/run.py --write $(SUITES)

test-browser: python ## the page of a trace, in a real browser
	@$(DEVELOP) --for-tests
	@$(DEVELOP) --environment browser --with browser --without-module
	@PYTHONPATH=python .venv-browser-$(TAG)/bin/python -m pytest tests/browser $(BROWSER)

test-rust-async: python ## the crate for extension modules
	@$(DEVELOP) --for-tests
	@$(DEVELOP) --environment rust --with test --with rust-async --without-module
	@.venv-rust-$(TAG)/bin/python tests/rust_async/build.py
	@.venv-rust-$(TAG)/bin/python tests/rust_async/check.py
	@echo ">> extension modules on several loops (pytest tests/rust_async)"
	@PYTHONPATH=python .venv-rust-$(TAG)/bin/python -m pytest -n 2 tests/rust_async $(RUST_ASYNC)

sanitize: build-for-tests ## AddressSanitizer, Valgrind, a Python with assertions
	@$(DEVELOP) --environment sanitize --with test --without-module
	@.venv-sanitize-$(TAG)/bin/python tools/sanitize $(SANITIZE)

sanitize-rust-async: python ## the crate's tests with AddressSanitizer
	@$(DEVELOP) --environment sanitize --with test --with rust-async --without-module
	@.venv-sanitize-$(TAG)/bin/python tools/sanitize rust-async

fuzz: build-for-tests ## random cases for the engine (a quarter of the time), and random programs compared with asyncio
	@$(BIN)/python tools/fuzz_engine.py --seconds $$(($(SECONDS) / 4))
	@$(BIN)/python -m tests.fuzz.compare --seconds $$(($(SECONDS) - $(SECONDS) / 4)) $(FUZZ)

faults: build-for-tests ## system calls and allocations that fail one by one
	@$(BIN)/python -m tests.faults.calls
	@$(BIN)/python -m tests.faults.memory

interrupts: build-for-tests ## programs interrupted at random bytecodes
	@$(BIN)/python -m tests.faults.interrupts --count $(COUNT) $(FAULTS)

soak: python ## levels under load and disturbances
	@$(DEVELOP) --environment soak --with test
	@.venv-soak-$(TAG)/bin/python -m tests.soak.run --minutes $(MINUTES) $(SOAK)

bench: python ## the comparison with the peers
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/run.py --json target/programs.json $(BENCH)
	@.venv-bench-$(TAG)/bin/python benches/publish.py programs target/programs.json

bench-programs: python ## real libraries on each loop: the program's CPU time per operation
	@$(DEVELOP) --environment programs --with bench-programs
	@.venv-programs-$(TAG)/bin/python benches/programs/run.py --json target/libraries.json $(BENCH)
	@.venv-programs-$(TAG)/bin/python benches/publish.py libraries target/libraries.json

bench-files: python ## files compared with aiofiles, threads and a plain read
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/files.py $(BENCH)

bench-pools: python ## calls in other processes compared with the pool itself
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/pools.py $(BENCH)

bench-explorers: python ## how many orders a second the test bench and the other explorers try
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/explorers.py --clocks $(BENCH)

bench-processes: python ## children: start, end, 4 MiB through one, how long the loop is blocked
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/child_processes.py $(BENCH)

bench-net: python ## servers under load: the server's CPU time per message
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/net/run.py --json target/servers.json $(BENCH)
	@.venv-bench-$(TAG)/bin/python benches/publish.py servers target/servers.json

bench-page: python ## a trace of a million events in a browser
	@$(DEVELOP) --for-tests
	@$(DEVELOP) --environment browser --with browser --without-module
	@PYTHONPATH=python .venv-browser-$(TAG)/bin/python benches/trace_page.py $(BENCH)

docs: python ## the site; a broken link or anchor is an error
	@$(DEVELOP) --for-tests
	@$(DEVELOP) --environment docs --with docs --without-module
	@NO_MKDOCS_2_WARNING=1 .venv-docs-$(TAG)/bin/mkdocs build --quiet --strict
	@echo ">> target/site/index.html"

bench-rust-async: python ## what one await of a Rust future costs
	@$(DEVELOP) --environment bench --with bench
	@.venv-bench-$(TAG)/bin/python benches/rust_async/run.py $(BENCH)

bench-scaling: python ## how several loops in several threads scale; for a free-threaded PYTHON
	@$(DEVELOP) --environment bench
	@.venv-bench-$(TAG)/bin/python benches/scaling.py $(BENCH)

lint: python ## what CI checks before it tests
	@$(DEVELOP) --for-tests --with test --with lint
	@sh tools/lint $(PYTHON) $(BIN)

conformance: ## CPython's own asyncio tests; PYTHON may name several
	@sh tools/conformance $(CONFORMANCE)

# ALL: the interpreters to build wheels for.
ALL = $(shell sh tools/find-python --all)
# WHEELS: further arguments, such as WHEELS="--libc glibc musl".
WHEELS =
wheels: python ## the release: the sdist, and a wheel for each Python, checked
	@$(PYTHON) tools/wheels.py $(ALL) $(WHEELS)

sdist: python ## the sdist, built and installed the way pip does it
	@$(PYTHON) tools/wheels.py --sdist-only $(PYTHON)

clean: ## everything that can be rebuilt
	rm -rf target dist .venv-* python/ferrio/_ferrio*.so .pytest_cache .mypy_cache .ruff_cache
	find python tests tools examples benches -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true
