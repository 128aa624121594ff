# make demo, make test, make lint. VENV and PYTHON may be given: make test VENV=/tmp/v PYTHON=python3.13
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

.PHONY: demo test prepared coverage fuzz lint format bench soak bench-peers clean

demo: $(VENV)/.runtime
	$(BIN)/ul-proxy demo

# What the container image installs, for the tests that build it; wanted only where there is a builder.
WHEELS := $(if $(shell command -v podman),$(VENV)-wheels)
TEST_ENV = MINISTACK_PYTHON=$(abspath $(VENV)-ministack)/bin/python LLHTTP_CORPUS=$(abspath $(VENV)-llhttp) \
	WHEELS=$(abspath $(WHEELS))
TEST_NEEDS = $(VENV)/.dev $(VENV)-ministack/.installed $(VENV)-llhttp/.unpacked $(WHEELS:%=%/.filled)
PYTEST = $(TEST_ENV) $(BIN)/python -m pytest

test: $(TEST_NEEDS)
	$(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

# What the tests need: make --jobs=3 prepared
prepared: $(TEST_NEEDS)

# The same tests; which lines and branches they reach is written down, which takes its time.
coverage: $(TEST_NEEDS)
	$(PYTEST) $(PARALLEL) --cov --cov-report=term $(PYTEST_ARGS)

# As many mutated requests as one likes, and a signal at many more moments: make fuzz FUZZ_EXAMPLES=100000
fuzz: $(VENV)/.dev
	FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) SIGNAL_STEP=0.05 \
		$(PYTEST) --timeout 0 tests/integration/test_fuzz.py tests/integration/test_interrupts.py $(PYTEST_ARGS)

lint: $(VENV)/.dev
	@status=0; \
	$(BIN)/ruff check . || status=1; \
	$(BIN)/ruff format --check . || status=1; \
	$(BIN)/mypy || status=1; \
	exit $$status

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Give it a quiet machine: it takes about 20 minutes, and writes bench/RESULTS.md. BENCH_ARGS=--quick tries it out.
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(BENCH_ARGS)

# Two days of a clock that runs fast, in ten minutes: it ends with 1 where anything grows. SOAK_ARGS="--seconds 120"
soak: $(VENV)/.dev
	$(BIN)/python -m bench.soak $(SOAK_ARGS)

# The peers that the system's packages do not have: nginx-light, haproxy, caddy, wrk and nodejs are there.
bench-peers:
	npm install --prefix bench/.peers --no-package-lock --no-audit --no-fund http-proxy@1.18.1
	$(PYTHON) -m venv bench/.peers/mitmproxy
	bench/.peers/mitmproxy/bin/python -m pip --disable-pip-version-check --quiet install mitmproxy

clean:
	rm -rf $(VENV) $(VENV)-ministack $(VENV)-llhttp $(VENV)-wheels build dist .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	@echo 'Installing into $(VENV), which takes a minute, once.'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@

# MiniStack pins another botocore than aiobotocore does, and the AWS CLI another rsa, hence an environment of their own.
$(VENV)-ministack/.installed: $(VENV)/.runtime constraints.txt
	$(PYTHON) -m venv --without-pip $(VENV)-ministack
	$(PIP) --python $(VENV)-ministack/bin/python install ministack==1.5.33 cryptography awscli==1.46.3
	touch $@

# The requests that llhttp is tested with are in aiohttp's source distribution alone, which is unpacked, not built.
$(VENV)-llhttp/.unpacked: $(VENV)/.runtime constraints.txt
	rm -rf $(VENV)-llhttp
	$(PIP) download --no-deps --no-binary aiohttp --constraint constraints.txt --dest $(VENV)-llhttp aiohttp
	cd $(VENV)-llhttp && set -- *.tar.gz && tar -xzf "$$1" "$${1%.tar.gz}/vendor/llhttp/test" && rm "$$1"
	touch $@

$(VENV)-wheels/.filled: $(VENV)/.runtime pyproject.toml constraints.txt
	rm -rf $(VENV)-wheels
	$(PIP) wheel --constraint constraints.txt --wheel-dir $(VENV)-wheels . hatchling
	rm $(VENV)-wheels/unleash_live_proxy-*.whl
	touch $@
