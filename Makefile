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
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The tests' Kinesis servers, from npm. Where there is no npm, the stream tests say that they did
# not run; .ci/run insists on them.
SERVERS := tests/npm/node_modules/.installed
# What decides IAM requests, from npm, for tests alone: apart, as its licence is the AGPL (docs/decisions).
EVALUATOR := tests/npm_iam/node_modules/.installed

define CHECK_PYTHON
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or later is needed, and '$(PYTHON)' is not: name one, as in 'make PYTHON=python3.12 ...'." >&2; \
		exit 1; }
endef

# The demo needs a fifth of what the tests do. Where those are installed it runs on that; what the
# lake and the stream need is there alone.
DEMO_STAMP := .venv-demo/.installed
DEMO_WITH := $(if $(or $(wildcard $(STAMP)),$(findstring --lake,$(ARGS)),$(findstring --stream,$(ARGS))),$(STAMP),$(DEMO_STAMP))

.PHONY: demo
demo: $(DEMO_WITH) $(if $(findstring --stream,$(ARGS)),$(SERVERS)) ## run the pipeline on this machine, from events to tables (ARGS="..." is handed on)
	@PATH="$$PATH:$(CURDIR)/tests/npm/node_modules/.bin" $(dir $(DEMO_WITH))bin/python -m pipeline demo $(ARGS)

$(DEMO_STAMP): requirements/demo.txt
	@$(CHECK_PYTHON)
	@$(PYTHON) requirements/install.py .venv-demo requirements/demo.txt

.PHONY: servers
servers: $(SERVERS) ## install the tests' Kinesis servers, with npm

.PHONY: evaluator
evaluator: $(EVALUATOR) ## install what decides IAM requests in the tests, with npm

.PHONY: test
test: $(STAMP) $(if $(shell command -v npm),$(SERVERS) $(EVALUATOR)) ## run the tests (ARGS="..." is handed to pytest)
	@$(BIN)/python -m pytest $(TESTFLAGS) $(ARGS)

# A count (the seeds 1 to so many), or from-to.
SEEDS ?= 500

.PHONY: simulate
simulate: $(STAMP) ## run simulated histories with faults (SEEDS=500, or one seed again: SEEDS=7-7)
	@cd tests && ../$(BIN)/python -m simulation $(SEEDS)

# Bounds are per unit of input, and several times what is usual: a slow machine does not break them.
SECONDS ?= 60

.PHONY: simulate-lake
simulate-lake: $(STAMP) ## the same for the tables: committers killed at every step (SEEDS=500)
	@cd tests && ../$(BIN)/python -m lake_simulation $(SEEDS)

.PHONY: simulate-scale
simulate-scale: $(STAMP) ## what more shards and more invocations gain: a table, and plots in build/scale (ARGS="--gigabytes 50")
	@$(BIN)/python -m benchmarks.scale $(ARGS)

.PHONY: attack
attack: $(STAMP) ## look for inputs that cost too much time or memory (SECONDS=60, ARGS="--seed 2")
	@cd tests && ../$(BIN)/python -m attack $(SECONDS) $(ARGS)

# At least 20,000 batches, and at least so long.
MINUTES ?= 0

.PHONY: soak
soak: $(STAMP) ## store drifting documents, and look whether memory stays flat (MINUTES=0, ARGS="--seed 2")
	@cd tests && ../$(BIN)/python -m soak --minutes $(MINUTES) $(ARGS)

# The folder of the datasets that the function serves; `pipeline check` first is a good idea.
SCHEMAS ?= schemas

.PHONY: package
package: $(STAMP) ## build the Lambda artifacts and what deploys them, in dist/ (SCHEMAS=dir of your datasets)
	@$(BIN)/python infra/package.py --schemas "$(SCHEMAS)" $(ARGS)

# The others that ours is measured beside have an environment of their own: one of them refuses the
# newest pyarrow. BENCHFLAGS="--rounds 9" and the like. To run some alone, which replaces no report:
# .venv/bin/python -m benchmarks handler cost
# Two checkouts beside each other: .venv/bin/python -m benchmarks.compare --before DIR
BENCH_STAMP := .venv-bench/.installed
BENCHFLAGS ?=

.PHONY: bench
bench: $(STAMP) $(BENCH_STAMP) ## measure everything, in under 10 minutes, into benchmarks/results
	@$(BIN)/python -m benchmarks --out benchmarks/results $(BENCHFLAGS)

.PHONY: bench-quick
bench-quick: $(STAMP) $(BENCH_STAMP) ## the same on smaller events, in under 1 minute; prints the targets
	@$(BIN)/python -m benchmarks --quick $(BENCHFLAGS)

$(BENCH_STAMP): requirements/bench.txt | $(STAMP)
	@echo "Installing what ours is measured beside into .venv-bench ..."
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	@touch $@

# Other programs read what the pipeline wrote: pandas, DuckDB, Spark and others, of which some need
# another pyarrow or DuckDB than ours. Spark needs a Java on the path; without one it is left out.
READERS_STAMP := .venv-readers/.installed

.PHONY: conformance
conformance: $(STAMP) $(READERS_STAMP) ## have other programs read what the pipeline wrote, and compare
	@PIPELINE_READERS=$(CURDIR)/.venv-readers/bin/python $(BIN)/python -m pytest tests/conformance $(ARGS)

$(READERS_STAMP): requirements/readers.txt | $(STAMP)
	@echo "Installing the readers into .venv-readers ..."
	@$(BIN)/python -m venv .venv-readers
	@.venv-readers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/readers.txt
	@touch $@

.PHONY: check
check: $(STAMP) ## lint, formatting, types, import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: reference
reference: $(STAMP) ## make docs/reference, docs/readers.md and the lists of CONTRIBUTING.md, from the code
	@$(BIN)/python docs/reference.py && $(BIN)/python docs/places.py && $(BIN)/python docs/readers.py

.PHONY: picture
picture: $(STAMP) ## draw what the demo shows, for README.md, and the drawings of docs/concepts
	@$(BIN)/python docs/picture.py && $(BIN)/python docs/drawings.py

.PHONY: screenshot
screenshot: $(STAMP) ## take the picture of the live page for docs/live-page.md; needs chromium
	@$(BIN)/python docs/screenshot.py > /dev/null

.PHONY: site
site: $(STAMP) ## build the pages as a site that needs no network, in build/site
	@$(BIN)/python docs/website.py

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
	$(LOCK) --constraints requirements/runtime.txt --extra lake \
		--output-file requirements/lake.txt
	$(LOCK) --constraints requirements/lake.txt --extra cli --extra dev \
		--output-file requirements/dev.txt
	$(LOCK) --constraints requirements/dev.txt --extra privacy \
		--output-file requirements/privacy.txt
	$(LOCK) --constraints requirements/dev.txt --extra cli \
		--output-file requirements/demo.txt
	$(LOCK) --extra bench --output-file requirements/bench.txt
	$(LOCK) --extra readers --output-file requirements/readers.txt
	@if grep -nE '://|file:|^-' requirements/*.txt; then \
		echo "A lock file names an address or an option of this machine (above)."; exit 1; fi

.PHONY: install
install: $(STAMP) ## only install, into .venv
	@:

.PHONY: clean
clean: ## remove what was built and what the tools cached; .venv stays
	rm -rf build dist pipeline-demo .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -exec rm -rf {} +

# Nothing that comes with the packages is run on installation.
$(SERVERS): tests/npm/package.json tests/npm/package-lock.json
	@echo "Installing the tests' Kinesis servers into tests/npm/node_modules ..."
	@cd tests/npm && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

$(EVALUATOR): tests/npm_iam/package.json tests/npm_iam/package-lock.json
	@echo "Installing what decides IAM requests into tests/npm_iam/node_modules ..."
	@cd tests/npm_iam && npm ci --ignore-scripts --no-audit --no-fund --silent
	@touch $@

# As of the Python requirements: hashes, and no addresses.
.PHONY: lock-servers
lock-servers: tests/npm.lock tests/npm_iam.lock ## pin what the tests have from npm again, with hashes

.PHONY: tests/npm.lock tests/npm_iam.lock
tests/npm.lock tests/npm_iam.lock: tests/%.lock:
	@cd tests/$* && rm -rf node_modules package-lock.json && npm install --ignore-scripts \
		--omit-lockfile-registry-resolved --no-audit --no-fund --silent
	@$(PYTHON) -c 'import json, pathlib; \
		path = pathlib.Path("tests/$*/package-lock.json"); lock = json.loads(path.read_text()); \
		[package.pop("funding", None) for package in lock["packages"].values()]; \
		path.write_text(json.dumps(lock, indent=2) + "\n")'
	@if grep -n '://' tests/$*/package-lock.json; then \
		echo "The lock file names an address (above)."; exit 1; fi

# The stamp is written last: an installation that broke half way is taken up again.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(CHECK_PYTHON)
	@echo "Installing into $(VENV), the first time and whenever the requirements change ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
