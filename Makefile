# Everything from a bare machine with Python 3.11 or later and make: each goal sets up what it needs.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
WORKERS ?= 2

BIN := .venv/bin
BENCH_BIN := .venv-bench/bin

# Twice quiet: an index configured on this machine may warn about each package that it does not hold.
PIP_INSTALL := -m pip install -qq --disable-pip-version-check
# Every requirement is pinned and hashed, so it does not matter where a machine gets its packages from.
INSTALL_PINNED := $(PIP_INSTALL) --require-hashes -r
# The build tools came with the pinned requirements: nothing is fetched without a hash.
INSTALL_SELF := $(PIP_INSTALL) --no-deps --no-build-isolation -e .

# Only `make lock` needs it: what it writes is checked by its hashes wherever it is installed.
UV_VERSION := 0.13.9
# The header of a compiled file names the goal, not the options and paths of who ran it.
COMPILE := ../.venv-lock/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

.PHONY: setup
setup: .venv/.ready ## Set up .venv with the pinned tools and stateward itself

.PHONY: demo
demo: .venv/.ready ## Show it at work; ARGS=--once ends by itself, LOG=file replays a log instead
	@$(BIN)/stateward demo $(if $(LOG),--log "$(LOG)") $(ARGS)

.PHONY: test
test: .venv/.ready ## Run every check: lint, format, types, import direction, tests
	@$(MAKE) --no-print-directory --jobs 2 --output-sync mypy basedpyright lint
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

.PHONY: lint mypy basedpyright
lint: .venv/.ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-logo
mypy: .venv/.ready
	$(BIN)/mypy --strict
basedpyright: .venv/.ready
	$(BIN)/basedpyright

# Thousands of random charts, and worlds of many processes: measuring coverage makes them several times as slow, and
# does not see into other processes.
NOT_COVERED := tests/test_kernel_against_reference.py tests/reference \
	tests/work/test_proof_points.py tests/work/test_proof_world.py

.PHONY: coverage
coverage: .venv/.ready ## Say which lines and branches the tests do not reach
	$(BIN)/pytest -n $(WORKERS) --cov --cov-branch --cov-report=term-missing:skip-covered $(NOT_COVERED:%=--ignore %)

PG_BIN ?= /usr/lib/postgresql/15/bin

.PHONY: test-more
test-more: .venv/.ready ## Test ledger and work on the system's PostgreSQL; PG_BIN=folder names its binaries
	@test -x $(PG_BIN)/initdb -a -x $(PG_BIN)/postgres || { \
		echo "there is no PostgreSQL in $(PG_BIN): install it (Debian: apt install postgresql-15)," \
			"or name another's binaries: make test-more PG_BIN=..." >&2; exit 1; }
	$(BIN)/pytest -n $(WORKERS) --postgres-bin $(PG_BIN) tests/ledger tests/work

.PHONY: bench
bench: .venv-bench/.ready ## Measure it beside its peers, in .venv-bench
	@$(BENCH_BIN)/python -m bench

.PHONY: docs
docs: .venv/.ready ## Build the pages of docs/ as a site in dist/docs; a warning or a broken link is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d dist/.doctrees docs dist/docs
	@echo "dist/docs/index.html"

.PHONY: golden
golden: .venv/.ready ## Write the golden files anew, to be reviewed as a diff
	STATEWARD_GOLDEN=write $(BIN)/pytest -q -k golden tests

.PHONY: format
format: .venv/.ready ## Format the code and mend what the linter can mend
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# In order: each file takes the pins of those before it as constraints. UPGRADE=1 looks for newer versions.
.PHONY: lock
lock: .venv-lock/.ready ## Compile requirements/*.in to *.txt; UPGRADE=1 takes newer versions
	cd requirements && for name in base dev bench; do \
		$(COMPILE) $(if $(UPGRADE),--upgrade) $$name.in -o $$name.txt || exit 1; \
	done

.PHONY: clean
clean: ## Remove all that was made here
	rm -rf .venv .venv-bench .venv-lock dist htmlcov .coverage .coverage.*
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests bench examples -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/.ready: requirements/dev.txt pyproject.toml
	@echo "setting up .venv" >&2
	@$(call create_venv,.venv)
	@$(BIN)/python $(INSTALL_PINNED) requirements/dev.txt
	@$(BIN)/python $(INSTALL_SELF)
	@touch $@

.venv-bench/.ready: requirements/bench.txt pyproject.toml
	@echo "setting up .venv-bench" >&2
	@$(call create_venv,.venv-bench)
	@$(BENCH_BIN)/python $(INSTALL_PINNED) requirements/bench.txt
	@$(BENCH_BIN)/python $(INSTALL_SELF)
	@touch $@

.venv-lock/.ready: Makefile
	@$(call create_venv,.venv-lock)
	@.venv-lock/bin/python $(PIP_INSTALL) uv==$(UV_VERSION)
	@touch $@

define create_venv
$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("stateward needs Python 3.11 or later: make PYTHON=...")' && $(PYTHON) -m venv $(1)
endef
