# make demo    the offline sandbox
# make unit    the unit tests, in less than a minute
# make quick   these, and the integration tests that start no process
# make test    every test
# make fuzz    the property tests with many examples
# make lint    ruff and mypy; make format mends what can be mended
# make matrix  the tests on every supported Python
# make settings-page, bench, soak, coverage, locks, newest: docs/development.md
# VENV and PYTHON may be given: make test VENV=/tmp/v PYTHON=python3.13. PYTEST_ARGS="-k drain -x" goes to pytest.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST_ARGS ?=
# A process more than there are cores, since many tests wait. Each takes tests that stand together, which mostly share what
# is made once for them. PYTEST_ARGS="-n 0 --pdb" debugs in one process.
PROCESSES = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() + 1)')
PARALLEL = --numprocesses $(PROCESSES) --maxprocesses 8 --dist worksteal
FUZZ_EXAMPLES ?= 10000

# Compiled once, the tests and what they import start in a third of the time.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo unit quick test test-interpreter matrix prepared coverage fuzz lint format settings-page bench soak bench-peers clean

demo: $(VENV)/.runtime
	$(BIN)/ul-proxy demo

# What the container image stands on and what it installs, for the tests that build it: of the Python and the Debian that the
# Dockerfile names, whatever this machine's are. Wanted only where images can be built.
BASE := $(shell sed -n 's/^ARG PYTHON_IMAGE=.*:\(3\.[0-9]*\)\.[0-9]*-slim-\([a-z]*\)$$/\1 \2/p' Dockerfile)
BUILDS := $(shell command -v podman >/dev/null && command -v mmdebstrap >/dev/null && [ "$$(id -u)" = 0 ] && echo yes)
BASE_ROOT := $(if $(BUILDS),$(VENV)-base-$(lastword $(BASE)))
WHEELS := $(if $(BUILDS),$(VENV)-wheels)
TEST_ENV = MINISTACK_PYTHON=$(abspath $(VENV)-ministack)/bin/python LLHTTP_CORPUS=$(abspath $(VENV)-llhttp) \
	BASE_ROOT=$(abspath $(BASE_ROOT)) WHEELS=$(abspath $(WHEELS))
TEST_NEEDS = $(VENV)/.dev $(VENV)-ministack/.installed $(VENV)-llhttp/.unpacked $(BASE_ROOT) $(WHEELS:%=%/.filled)
PYTEST = $(TEST_ENV) $(BIN)/python -m pytest

unit: $(VENV)/.dev
	$(PYTEST) $(PARALLEL) tests/unit $(PYTEST_ARGS)

quick: $(VENV)/.dev $(VENV)-llhttp/.unpacked
	$(PYTEST) $(PARALLEL) -m 'not slow' $(PYTEST_ARGS)

test: $(TEST_NEEDS)
	$(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

# What tells whether an interpreter works: make test-interpreter VENV=.venv-3.13 PYTHON=python3.13
INTEGRATION = forward transport pipelines half_close tunnel sign_in inspector draining demo_lines
test-interpreter: $(VENV)/.dev
	$(PYTEST) $(PARALLEL) tests/unit $(INTEGRATION:%=tests/integration/test_%.py) $(PYTEST_ARGS)

# The tests on every interpreter that is supported: all of them on the Python at hand, test-interpreter on the others.
# make matrix ONLY=3.14. With TESTED=yes the Python at hand has just passed.
ONLY ?=
TESTED ?=
matrix: $(VENV)/.runtime
	@$(BIN)/python -m tools.matrix --venv $(VENV) $(TESTED:%=--tested) $(ONLY)

# What the tests need: make --jobs=3 prepared
prepared: $(TEST_NEEDS)

# The same tests; which lines and branches they reach is written down, which takes its time.
coverage: $(TEST_NEEDS)
	$(PYTEST) $(PARALLEL) --cov --cov-report=term $(PYTEST_ARGS)

# Every property with as many examples as one likes, and a signal at many more moments: make fuzz FUZZ_EXAMPLES=100000
fuzz: $(VENV)/.dev
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(PYTEST) $(PARALLEL) --timeout 0 -m hypothesis $(PYTEST_ARGS)
	SIGNAL_STEP=0.05 $(PYTEST) --timeout 0 tests/integration/test_interrupts.py $(PYTEST_ARGS)

# The tables of docs/settings.md, as the settings are declared and as nobody has set them.
settings-page: $(VENV)/.dev
	env -i PATH="$$PATH" HOME=/nonexistent $(BIN)/python -m tools.settings_page

lint: $(VENV)/.dev
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/mypy || status=1; \
	exit $$status

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Give it a quiet machine: it takes about 40 minutes, and writes bench/RESULTS.md, into the section of the Python of VENV.
# BENCH_ARGS=--quick tries it out, BENCH_ARGS="--only memory" measures one group.
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(BENCH_ARGS)

# Two days of a clock that runs fast, in ten minutes: it ends with 1 where anything grows. SOAK_ARGS="--seconds 120"
soak: $(VENV)/.dev
	$(BIN)/python -m bench.soak $(SOAK_ARGS)

# The newest versions of everything, with the hashes of all their files: one set for every Python and system. Afterwards make
# test, for what a new version brings.
LOCK = $(VENV)-uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make locks'

.PHONY: locks newest
locks:
	$(PYTHON) -m venv $(VENV)-uv
	$(VENV)-uv/bin/python -m pip --disable-pip-version-check --quiet install --upgrade uv
	$(LOCK) --output-file locks/dev.txt --extra dev pyproject.toml
	$(LOCK) --output-file locks/runtime.txt --constraint locks/dev.txt pyproject.toml
	$(LOCK) --output-file locks/build.txt --constraint locks/dev.txt --group build
	$(LOCK) --output-file locks/ministack.txt --group ministack

# What somebody gets who installs without the locks: the newest versions that pyproject.toml allows must work, too.
newest:
	rm -rf $(VENV)-newest
	$(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip --disable-pip-version-check --quiet install .
	$(VENV)-newest/bin/python tools/try_demo.py $(VENV)-newest/bin/ul-proxy

# The peers that the system's packages do not have: nginx-light, haproxy, caddy, wrk and nodejs are there.
bench-peers:
	npm install --prefix bench/.peers --no-package-lock --no-audit --no-fund http-proxy@1.18.1
	$(PYTHON) -m venv bench/.peers/mitmproxy
	bench/.peers/mitmproxy/bin/python -m pip --disable-pip-version-check --quiet install mitmproxy

clean:
	rm -rf $(VENV) $(VENV)-ministack $(VENV)-llhttp $(VENV)-wheels $(VENV)-3.* $(VENV)-debian build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf $(VENV)-base-* $(VENV)-uv $(VENV)-newest

# Only files whose hashes are in a lock file are installed.
LOCKED = install --require-hashes

$(VENV)/.runtime: pyproject.toml locks/runtime.txt locks/build.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo 'Installing into $(VENV), which takes a minute, once.'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) $(LOCKED) --requirement locks/runtime.txt --requirement locks/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime locks/dev.txt
	$(PIP) $(LOCKED) --requirement locks/dev.txt
	touch $@

$(VENV)-ministack/.installed: $(VENV)/.runtime locks/ministack.txt
	$(PYTHON) -m venv --without-pip $(VENV)-ministack
	$(PIP) --python $(VENV)-ministack/bin/python $(LOCKED) --requirement locks/ministack.txt
	touch $@

# The requests that llhttp is tested with are in aiohttp's source distribution alone, which is unpacked, not built.
$(VENV)-llhttp/.unpacked: $(VENV)/.dev
	rm -rf $(VENV)-llhttp
	mkdir $(VENV)-llhttp
	sed -n '/^aiohttp==/,/[^\\]$$/p' locks/runtime.txt >$(VENV)-llhttp/aiohttp.txt
	$(PIP) download --require-hashes --no-deps --no-binary aiohttp --no-build-isolation --dest $(VENV)-llhttp \
		--requirement $(VENV)-llhttp/aiohttp.txt
	cd $(VENV)-llhttp && set -- *.tar.gz && tar -xzf "$$1" "$${1%.tar.gz}/vendor/llhttp/test" && rm "$$1"
	touch $@

# It appears whole or not at all. Where it cannot be had, the tests of the image say so.
$(VENV)-base-%:
	tools/debian_root $* $@ python3-pip || echo 'the container image is not tested' >&2

# For another system pip takes wheels of exactly the names that it is told, and it judges the conditions in a lock file by
# the Python that runs it.
MANYLINUX = manylinux2014 manylinux_2_17 manylinux_2_28 manylinux_2_34
$(VENV)-wheels/.filled: $(VENV)/.runtime Dockerfile
	rm -rf $(VENV)-wheels
	$(PIP) download --require-hashes --only-binary=:all: --python-version $(firstword $(BASE)) \
		$(MANYLINUX:%=--platform %_$(shell uname -m)) --dest $(VENV)-wheels \
		--requirement locks/runtime.txt --requirement locks/build.txt
	touch $@
