# `make demo` and `make test` do all of their own set-up; a second run starts at once.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready-$(shell cat pyproject.toml tools/setup_venv.sh | cksum | cut -d' ' -f1)

.PHONY: help demo test unit check screenshots benchmarks clean
help: ## what can be made
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP):
	@bash tools/setup_venv.sh $(VENV) $@

demo: $(STAMP) ## a real Triton, real models, real traffic, on the screen
	@$(BIN)/tritop demo

test: $(STAMP) ## style, types, structure, unit tests and end-to-end tests
	@$(BIN)/python tools/run_tests.py

unit: $(STAMP) ## the tests that need no server
	@$(BIN)/python tools/run_tests.py --unit

check: $(STAMP) ## style, types, structure
	@$(BIN)/python tools/run_tests.py --check

screenshots: $(STAMP) ## SVG and PNG of every screen, from a real run
	@$(BIN)/python -m tests.make_screenshots

benchmarks: $(STAMP) ## every budget, measured
	@$(BIN)/python -m benchmarks

clean: ## remove the virtual environment and the caches
	@rm -rf $(VENV) .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis dist
