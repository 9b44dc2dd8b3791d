# Everything a newcomer needs is one target away: each one installs what it needs into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Two workers: what every machine has. Tests that share something expensive name a group
# (pytest.mark.xdist_group) and then run in one worker.
TESTFLAGS ?= -n 2 --dist loadgroup

# Another uv can be named to make the first lock, or to repair one that no longer installs.
UV ?= $(BIN)/uv
# `make lock LOCKFLAGS=--upgrade` moves every version; without it only what must move does.
LOCKFLAGS ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## show this list
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(STAMP) ## run the pipeline on this machine, from events to tables (ARGS="..." is handed on)
	@$(BIN)/pipeline demo $(ARGS)

.PHONY: test
test: $(STAMP) ## run the tests (ARGS="..." is handed to pytest)
	@$(BIN)/python -m pytest $(TESTFLAGS) $(ARGS)

.PHONY: check
check: $(STAMP) ## lint, formatting, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Universal: one file for every Python from 3.11 on and for Linux and macOS, told apart by
# markers. No addresses are written into the files, so they install from any mirror; the hashes
# say that what comes is what was locked. The runtime is locked first and holds the other to it:
# what is tested is what is shipped.
LOCK = UV_SYSTEM_CERTS=true $(UV) pip compile --quiet --no-config --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command 'make lock' $(LOCKFLAGS) pyproject.toml

.PHONY: lock
lock: $(if $(filter $(BIN)/uv,$(UV)),$(STAMP)) ## pin the dependencies again, with hashes
	$(LOCK) --output-file requirements/runtime.txt
	$(LOCK) --constraints requirements/runtime.txt --extra cli --extra dev \
		--output-file requirements/dev.txt
	@if grep -nE '://|file:|^-' requirements/*.txt; then \
		echo "A lock file names an address or an option of this machine (above)."; exit 1; fi

.PHONY: install
install: $(STAMP) ## only install, into .venv
	@:

.PHONY: clean
clean: ## remove what was built and what the tools cached; .venv stays
	rm -rf build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# The stamp is written last: an installation that broke half way is taken up again.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, and '$(PYTHON)' is not: name one, as in 'make PYTHON=python3.12 ...'." >&2; \
		exit 1; }
	@echo "Installing into $(VENV), the first time and whenever the requirements change ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
