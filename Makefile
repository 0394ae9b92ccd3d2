# Everything a user or developer runs. `make up` and `make test` do all their set-up themselves.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# llama.cpp is compiled for the machine it runs on (-march=native); its image part is left out.
export CMAKE_ARGS ?= -DLLAVA_BUILD=OFF
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help up down restart models install check test test-fast bench clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.server: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Omeruta Brain needs Python 3.11 to 3.13, and this is {v[0]}.{v[1]}. Choose one with: make PYTHON=python3.12 up")'
	@command -v c++ >/dev/null || { echo "A C++ compiler is needed to build llama.cpp (Debian: apt install g++)."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing. The first time takes some minutes: llama.cpp is compiled for this machine."
	@$(BIN)/pip install -c constraints.txt -e '.[server]'
	@touch $@

$(VENV)/.dev: $(VENV)/.server
	@echo "Installing what the tests need."
	@$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/.server  ## Install into .venv

models: $(VENV)/.server  ## Get the model files and check them
	@$(BIN)/python -m serve_app.inference.weights

up: models  ## Install, get the models, start the brain, say where it is
	@$(BIN)/omeruta up

down:  ## Stop the brain
	@$(BIN)/omeruta down

restart: models  ## Stop and start
	@$(BIN)/python -m deployments.lifecycle restart

check: $(VENV)/.dev  ## Format, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: $(VENV)/.dev models check  ## All checks and tests
	@$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-report=json:.coverage.json -q
	@$(BIN)/python tests/coverage_gate.py .coverage.json

test-fast: $(VENV)/.dev  ## Tests that need neither Ray, nor a model, nor a browser
	@$(BIN)/python -m pytest -q -m 'not serve and not model and not browser'

bench: $(VENV)/.dev models  ## All benchmarks; results in benchmarks/results/
	@$(BIN)/python -m benchmarks.first_answer

clean:  ## Remove the virtual environment and caches; data is kept
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
