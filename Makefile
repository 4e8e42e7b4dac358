# Each command sets up what it needs in .venv; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# what `make fuzz` fuzzes, and with how many examples each
FUZZED := $(addprefix cowrie_pipeline_tests/properties/test_,fuzz_log_reader.py fuzz_sources.py fuzz_legacy.py \
  answer_properties.py list_properties.py dns_properties.py unpacking_properties.py)
FUZZ_EXAMPLES ?= 5000

export DAGSTER_HOME := $(CURDIR)
export COWRIE_STATE_DIR := $(CURDIR)/var

.PHONY: help demo ui test check lint types layers audit secrets fuzz bench canary clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.demo  ## make logs of a few days, materialize everything into SQLite, print what came out
	$(BIN)/cowrie-pipeline demo

ui: $(VENV)/.demo  ## open Dagster's webserver and daemon on localhost:3000
	$(BIN)/cowrie-pipeline ui

test: $(VENV)/.dev  ## all tests, on SQLite and on PostgreSQL
	$(BIN)/pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

check: lint types layers audit secrets  ## lint, types, layers, vulnerable packages, secrets in files

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

layers: $(VENV)/.dev
	$(BIN)/lint-imports

audit: $(VENV)/.dev  ## ask whether a pinned package has a known vulnerability; without network it says so and passes
	@$(BIN)/python -m cowrie_pipeline_tests.audit

secrets: $(VENV)/.dev  ## look for keys and passwords in the files that git tracks
	@$(BIN)/python -m cowrie_pipeline_tests.secret_scan

fuzz: $(VENV)/.dev  ## fuzz the log reader and every parser for longer than the tests do: FUZZ_EXAMPLES=5000 each
	COWRIE_TEST_FUZZ_EXAMPLES=$(FUZZ_EXAMPLES) $(BIN)/pytest --numprocesses auto -q $(FUZZED) $(PYTEST_ARGS)

bench: $(VENV)/.dev  ## measure the figures of docs/benchmarks.md side by side with their references
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

canary: $(VENV)/.dev  ## ask each configured service one known thing, live, and compare the shape of its answer
	@$(BIN)/python -m cowrie_pipeline_tests.canary

clean:  ## remove the environment, the state and the caches
	rm -rf $(VENV) var .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/.demo
