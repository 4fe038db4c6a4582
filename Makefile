# Every target does the set-up it needs; `make` alone lists them.

PYTHON_BIN := .venv/bin/python
# Worker processes for the tests; more than two CPUs can feed, since most of what the tests do is to wait.
WORKERS ?= 3
# The long faults wait even more.
WAITERS ?= 6
# `make lock LOCK_FLAGS=--upgrade` moves to the newest releases; without it only what pyproject.toml demands changes.
LOCK_FLAGS ?=
UV := uv==0.13.9

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format unit faults bench artifacts lock clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

setup: ## make .venv and install what is missing (the other targets do this themselves)
	@scripts/setup.sh

demo: setup ## run the main job on this machine, faults included, and balance the account
	@$(PYTHON_BIN) -m demo

test: lint ## lint, then every test
	@$(PYTHON_BIN) -m pytest -n $(WORKERS) --dist worksteal

lint: setup ## ruff, mypy, and the one direction of imports
	@$(PYTHON_BIN) -m ruff check --quiet
	@$(PYTHON_BIN) -m ruff format --check --quiet
	@$(PYTHON_BIN) -m mypy
	@.venv/bin/lint-imports --no-logo

format: setup ## let ruff format and mend what it can
	@$(PYTHON_BIN) -m ruff format
	@$(PYTHON_BIN) -m ruff check --fix

unit: setup ## the tests that need no broker
	@$(PYTHON_BIN) -m pytest tests/unit tests/contract

faults: setup ## every fault in its long form (about half an hour), and one table
	@mkdir -p build && rm -f build/faults.jsonl
	@code=0; FAULTS=long FAULTS_TABLE=$(CURDIR)/build/faults.jsonl $(PYTHON_BIN) -m pytest -n $(WAITERS) \
	  --dist worksteal -rs tests/faults || code=$$?; $(PYTHON_BIN) -m tests.faults.table build/faults.jsonl || code=1; exit $$code

bench: setup ## measure all figures (about an hour) and remake their tables and plot in docs/
	@$(PYTHON_BIN) -m benchmarks --write

artifacts: setup ## what a Greengrass deployment needs: wheels for both architectures, recipe, bill of materials
	@$(PYTHON_BIN) -m scripts.artifacts

lock: setup ## remake requirements/ from pyproject.toml
	@$(PYTHON_BIN) -m venv build/uv && build/uv/bin/python -m pip install --quiet --disable-pip-version-check $(UV)
	@set -e; lock() { \
	  build/uv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.10 --generate-hashes \
	    --no-annotate --custom-compile-command 'make lock' $(LOCK_FLAGS) "$$@"; }; \
	lock --output-file requirements/run.txt; \
	lock --extra terminal --constraint requirements/run.txt --output-file requirements/terminal.txt; \
	lock --group dev --constraint requirements/run.txt --output-file requirements/dev.txt

clean: ## remove what the other targets made here
	@rm -rf .venv build dist greengrass-build artifacts/io.weir.Forwarder .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
