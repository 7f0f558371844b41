# Two commands do all: `make run` installs what is missing and starts the product, `make test` checks it.
VENV ?= .venv
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && echo $$p && break; done)
BIN := $(VENV)/bin

.PHONY: run test install system lint types screenshots clean

run: install
	@$(BIN)/frs $(ARGS)

test: install
	@scripts/check $(BIN)/python $(ARGS)

install: system $(VENV)/.installed

system:
	@scripts/system

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found. Install one, or say PYTHON=/path/to/python3.12"; exit 1; }
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@scripts/install $(BIN)/python
	@touch $@

lint: install
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports

types: install
	@$(BIN)/pyright --pythonpath $(BIN)/python

screenshots: install
	@scripts/with-display $(BIN)/python examples/screenshots.py

clean:
	@rm -rf $(VENV) build dist .pytest_cache .ruff_cache
