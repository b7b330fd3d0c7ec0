# Everything works on a fresh machine: each target makes .venv and installs what it needs, at the
# versions of constraints.txt. ARGS goes to the command, e.g. make run ARGS='--port 9000'.

SHELL := /bin/sh
BIN := .venv/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
# What is not kept is compiled again by each of the servers that the tests start.
unexport PYTHONDONTWRITEBYTECODE

INSTALL := $(BIN)/pip install --quiet --constraint constraints.txt
RECIPE := pyproject.toml clients/python/pyproject.toml constraints.txt
CLIENT := ./clients/python[rooms]

.DEFAULT_GOAL := help
.PHONY: help run cluster test coverage check format chaos bench bench-peers test-browser constraints clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

run: .venv/.run ## start the server on 127.0.0.1:8000
	@$(BIN)/headwater serve $(ARGS)

cluster: .venv/.test ## start Redis, three workers and a round-robin on 127.0.0.1:8000
	@$(BIN)/python -m tests.cluster $(ARGS)

# Some more than two for each core of a small machine: half of the time a test waits.
test: .venv/.test .venv/.litellm .venv/.node ## run the tests
	$(BIN)/pytest -n 5 --dist worksteal $(ARGS)

# Apart from `test`: it takes a third longer, for every server that a test starts is measured too.
coverage: .venv/.test .venv/.litellm .venv/.node ## run the tests, and see what they leave out
	$(BIN)/pytest -n 5 --dist worksteal --cov --cov-report term $(ARGS)

check: .venv/.browser .venv/.js ## lint, formatting, types, the direction of imports
	@$(MAKE) --no-print-directory --jobs 2 check-types check-rest

.PHONY: check-types check-rest
check-types:
	$(BIN)/mypy

check-rest:
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
	@if [ -e .venv/.js ]; then echo 'tsc, in clients/js'; cd clients/js && npm run --silent check; \
	else echo 'NOT CHECKED: clients/js, for there is no Node 20 or newer with npm' >&2; fi

format: .venv/.test ## sort imports and format
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

MINUTES ?=
SEED ?=
chaos: .venv/.test ## kill, freeze and cut off workers under load for MINUTES=1, and check every promise
	@$(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: .venv/.test ## measure against the plain ways to do it
	@$(BIN)/python -m tests.bench $(ARGS)

bench-peers: .venv/.peers ## install LiteLLM's proxy, 750 MB, for bench to measure against too

test-browser: .venv/.browser .venv/.axe ## run the page in a real Chromium, and a real nginx in front
	@command -v chromium >/dev/null || $(MAKE) --no-print-directory chromium
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || $(MAKE) --no-print-directory nginx || true # its tests say so
	$(BIN)/pytest tests/browser $(ARGS)

.PHONY: chromium nginx
chromium nginx:
	@[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || { \
		echo 'make test-browser needs `$@` on the PATH (Debian: sudo apt-get install $@)' >&2; exit 1; }
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends $@ >/dev/null

# Every version anew, in environments of their own: what the newest packages resolve to.
constraints: ## raise every pinned version to the newest
	@rm -rf .venv/fresh
	@$(MAKE) --no-print-directory .venv/bin/python
	@$(BIN)/python -m venv .venv/fresh
	@.venv/fresh/bin/pip install --quiet --upgrade --editable '.[test,browser]' --editable '$(CLIENT)'
	@{ sed -n '/^#/p' constraints.txt; .venv/fresh/bin/pip freeze --exclude-editable | LC_ALL=C sort -f; } > .venv/constraints
	@rm -rf .venv/fresh
	@mv .venv/constraints constraints.txt
	@$(BIN)/python -m venv .venv/fresh
	@.venv/fresh/bin/pip install --quiet --upgrade 'litellm[mcp]'
	@{ sed -n '/^#/p' tests/clients/litellm.txt; .venv/fresh/bin/pip freeze | LC_ALL=C sort -f; } > .venv/constraints
	@rm -rf .venv/fresh
	@mv .venv/constraints tests/clients/litellm.txt

clean: ## remove everything that these commands made
	rm -rf .venv clients/js/node_modules tests/browser/node_modules tests/clients/node_modules build dist .coverage .coverage.* htmlcov .reports
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find server tests clients -name __pycache__ -type d -prune -exec rm -rf {} +

# An extra that is installed is not installed again until its recipe changes.
.venv/.run: $(RECIPE) | .venv/bin/python
	@$(INSTALL) --editable . --editable '$(CLIENT)'
	@touch $@

.venv/.test: $(RECIPE) | .venv/bin/python
	@$(INSTALL) --editable '.[test]' --editable '$(CLIENT)'
	@touch $@ .venv/.run

# Apart from .venv/.test: why, says the file.
.venv/.litellm: tests/clients/litellm.txt | .venv/bin/python
	@$(BIN)/python -m venv --clear .venv/litellm
	@.venv/litellm/bin/pip install --quiet --requirement $<
	@touch $@

# Only for bench, which skips what it is missing.
.venv/.peers: tests/bench/peers/litellm.txt | .venv/bin/python
	@$(BIN)/python -m venv --clear .venv/peers
	@.venv/peers/bin/pip install --quiet --requirement $<
	@touch $@

# Without Node the tests of its clients are skipped, and say so.
.venv/.node: tests/clients/package-lock.json | .venv/bin/python
	@major=$$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p'); \
	if [ "$${major:-0}" -ge 20 ] && command -v npm >/dev/null; then \
		(cd tests/clients && npm ci --loglevel=error >/dev/null) && touch $@; \
	else echo 'no Node 20 or newer with npm: the tests of Node clients will be skipped' >&2; fi

# What checks the types of clients/js, which itself needs nothing; without Node check says that it did not.
.venv/.js: clients/js/package-lock.json | .venv/bin/python
	@major=$$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p'); \
	if [ "$${major:-0}" -ge 20 ] && command -v npm >/dev/null; then \
		(cd clients/js && npm ci --loglevel=error >/dev/null) && touch $@; fi

# Without Node the page is not looked at for those who do not see it, and the test says so.
.venv/.axe: tests/browser/package-lock.json | .venv/bin/python
	@if command -v npm >/dev/null; then (cd tests/browser && npm ci --loglevel=error >/dev/null) && touch $@; \
	else echo 'no npm: axe will be skipped' >&2; fi

.venv/.browser: $(RECIPE) | .venv/bin/python
	@$(INSTALL) --editable '.[test,browser]' --editable '$(CLIENT)'
	@touch $@ .venv/.test .venv/.run

.venv/bin/python:
	@for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -m venv --clear .venv || { \
			rm -rf .venv; echo "$$python cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }; \
		exit 0; \
	done; echo 'Headwater needs Python 3.11 or newer: install it, or name it with make PYTHON=/path/to/python3' >&2; exit 1
