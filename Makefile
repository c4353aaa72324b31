# make demo      train, compress, export and explain, on real ECG where it is at hand, else simulated
# make test      lint, types and all tests, in .venv and .venv-tflite
# make test-cpus  tests that depend on rounding, as other CPUs round and with other seeds (10 minutes)
# make fuzz      everything that takes bytes, on bytes of all kinds, FUZZ_SECONDS each
# make test-shapes  the C engine on 10,000 random networks (BEATLENS_SHAPES, BEATLENS_SEED)
# make lint      ruff, mypy and import-linter only
# make format    let ruff rewrite what it can
# make bench-firmware   count instructions, flash, RAM and stack of the C engine on emulated Cortex-M
# make picture   draw the README's strip again (needs MIT-BIH)
# make figures   rebuild the tables and plots of the documentation from docs/figures/*.json
# make clean     remove environments, caches and build outputs
#
# Settings: PYTHON=python3.12   VENV=path   TFLITE_VENV=path   WORKERS=4   PYTEST_ARGS="-m 'not slow'"   FUZZ_SECONDS=600

PYTHON ?= $(shell command -v python3.11 2>/dev/null || command -v python3 2>/dev/null || echo python3)
VENV ?= .venv
TFLITE_VENV ?= .venv-tflite
WORKERS ?= 2
PYTEST_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 1

# Tests and `python -m benchmarks host` look for tflite-runtime there.
export TFLITE_VENV

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
TFLITE_PIP := $(TFLITE_VENV)/bin/python -m pip --disable-pip-version-check --no-input
# The pins live in pyproject.toml; torch goes in first so that nothing else picks another one.
TORCH := $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
# The TFLM interpreter as a Python extension, for the tests only.
TFLM := silabs-mltk==0.20.0

.DEFAULT_GOAL := help
.PHONY: help demo test test-shapes test-cpus fuzz lint format picture figures bench-firmware clean tflite-env

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "beatlens needs Python 3.11 or newer; '$(PYTHON)' is not." >&2; \
	  echo "Name one that is: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "No virtual environment: is your system's python3-venv package installed?" >&2; exit 1; }

$(VENV)/.demo-ready: pyproject.toml | $(BIN)/python
	$(PIP) install "$(TORCH)"
	$(PIP) install -e ".[train,litert]"
	@touch $@

$(VENV)/.test-ready: pyproject.toml | $(BIN)/python
	$(PIP) install "$(TORCH)"
	$(PIP) install -e ".[train,export,dev]"
	@touch $@ $(VENV)/.demo-ready

# An environment that runs models with the old interpreter and with TFLM. Tests that need it skip
# where it cannot be made (there is no tflite-runtime for Python 3.12, for one).
$(TFLITE_VENV)/.ready: pyproject.toml | $(BIN)/python
	$(BIN)/python -m venv $(TFLITE_VENV)
	$(TFLITE_PIP) install -e ".[tflite]"
	$(TFLITE_VENV)/bin/python -c "import tflite_runtime.interpreter"
	$(TFLITE_PIP) install --no-deps "$(TFLM)"
	@touch $@

tflite-env: | $(BIN)/python
	@$(MAKE) --no-print-directory $(TFLITE_VENV)/.ready || { \
	  echo; \
	  echo "****************************************************************************"; \
	  echo "* $(TFLITE_VENV) cannot be made on this machine (the reason stands above)."; \
	  echo "* SKIPPED: everything that runs models in tflite-runtime and in TFLM."; \
	  echo "****************************************************************************"; \
	  echo; }

demo: $(VENV)/.demo-ready
	$(BIN)/beatlens demo

lint: $(VENV)/.test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=sdk:. $(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/.test-ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One thread per process: two workers with a thread per core each would stand in each other's way.
# Files run in the order of collection, those that take long first: see tests/conftest.py.
# -rs lists at the end each test that was skipped, and why.
test: lint tflite-env
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder -rs $(PYTEST_ARGS)
	@test -e $(TFLITE_VENV)/.ready || echo "NOTE: tests ran without $(TFLITE_VENV) (see above)."

test-shapes: $(VENV)/.test-ready
	BEATLENS_SHAPES=$${BEATLENS_SHAPES:-10000} $(BIN)/python -m pytest -rP \
	  tests/firmware/test_net_properties.py

# PyTorch and its libraries compute as on older CPUs; see tests/cpus.py.
test-cpus: $(VENV)/.test-ready
	$(BIN)/python -m tests.cpus $(WORKERS) $(PYTEST_ARGS)

# Inputs that are new go to build/fuzz, and so does one that breaks a promise.
fuzz: $(VENV)/.test-ready
	$(BIN)/python -m tests.fuzz.run $(FUZZ_SECONDS) $(FUZZ_SEED)

picture: $(VENV)/.demo-ready
	$(BIN)/python -m benchmarks.strip_picture --bundle models/strips-20k/bundle \
	  --teacher models/teachers/strips/seed-0/teacher.pt

figures: $(VENV)/.demo-ready
	$(BIN)/python -m benchmarks figures

# Reference models lie beside a checkout, where they are at hand; the released one is in it.
bench-firmware: $(VENV)/.test-ready
	$(BIN)/python -m benchmarks firmware $(foreach model,strips strips-31k strips-20k strips-10k strips-6k beats beats-6k,--bundle models/$(model)/bundle) \
	  $(if $(wildcard ../shared/anchors),--windows ../shared/anchors)

clean:
	rm -rf $(VENV) $(TFLITE_VENV) build dist runs
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
