# OrderPulse: everything a newcomer needs stands behind one of these targets; `make` alone lists them.

# An empty PYTHON means: look for one. A PYTHON that was asked for is used or refused, never replaced by another.
PYTHON ?=
# More arguments for demo, bench, faults, kafka and pytest: make bench ARGS=--help, make test ARGS='-k card_burst'
ARGS ?=
# Worker processes of pytest; the slowest tests wait for Kafka and Redis, so more than the cores rarely helps.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime-installed
DEV := $(VENV)/.dev-installed

PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Hashes come from the lock; without build isolation the build backend, too, is the locked one.
PIP_SYNC := $(PIP) install --require-hashes --requirement
PIP_SELF := $(PIP) install --no-deps --no-build-isolation --editable .
UV_COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --custom-compile-command 'make lock'

# Installing builds the compiled part of the heart, so a change of it installs again.
COMPILED := $(wildcard operators/heart/compiled/*.c operators/heart/compiled/*.h)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo oracle test check lint format types unit bench bench-compare faults kafka kafka-note schemas lock install clean

help: ## Show this list
	@echo "OrderPulse. Usage: make TARGET [PYTHON=/path/to/python3.11] [ARGS='...'] [JOBS=2]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## Run the demo: simulated orders through the real flow, alerts as they arise
	@$(BIN)/orderpulse demo $(ARGS)

test: lint types unit ## Everything that must pass: lint, types and all tests (Kafka tests need Java 17 and Maven)

check: lint types test ## What to run before a commit: lint, types, then test

lint: $(DEV) ## Style, format and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

format: $(DEV) ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV) ## Type check, strict, tests included
	$(BIN)/mypy

oracle: $(DEV) ## Compare the flow with the oracle on 102,000 simulated orders (about 10 minutes)
	ORDERPULSE_ORACLE_ORDERS=34000 ORDERPULSE_ORACLE_SEEDS=11,12,13 \
	  $(BIN)/python -m pytest -n 1 tests/flow/test_against_oracle.py -k simulated

unit: $(DEV) kafka-note ## The tests alone; ARGS go to pytest
	$(BIN)/python -m pytest -n $(JOBS) $(ARGS)

bench: $(DEV) ## Measure speed and memory against floors, with targets (15 minutes; ARGS=--long: over an hour)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-compare: $(DEV) ## Measure again and tell what changed since the saved baseline; ARGS='--new FILE' measures nothing
	@$(BIN)/python -m benchmarks.compare $(ARGS)

faults: $(DEV) ## Kill, stop and cut off the flow again and again; a table of what was lost (about an hour; Linux)
	@$(BIN)/python -m tests.faults $(ARGS)

kafka: $(DEV) ## Start a real Kafka broker for development, no Docker (needs Java 17 and Maven)
	@$(BIN)/python -m tests.support.kafka_broker $(ARGS)

schemas: $(DEV) ## Regenerate docs/schemas, docs/asyncapi.yaml, docs/events.md and docs/cli.md from the code
	$(BIN)/python -m events.schemas
	$(BIN)/python -m console.reference

# The development lock is held to the runtime lock, so that what is tested is what runs.
lock: $(BIN)/uv ## Regenerate both lock files from pyproject.toml; ARGS=--upgrade takes newer versions
	$(UV_COMPILE) $(ARGS) --output-file requirements.lock
	$(UV_COMPILE) $(ARGS) --extra dev --constraint requirements.lock --output-file requirements-dev.lock

install: $(DEV) ## Make .venv with everything for development

clean: ## Remove .venv, caches and outputs
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .kafka build out *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Said before the tests start, because a skipped test is easily overlooked in a long run.
kafka-note:
	@java=$$(java -version 2>&1 | sed -n '1s/.*version "\([0-9]*\).*/\1/p'); \
	missing=; \
	[ "$${java:-0}" -ge 17 ] || missing="Java 17 or later (found: $${java:-none})"; \
	mvn --version >/dev/null 2>&1 || missing="$${missing:+$$missing and }Maven (mvn)"; \
	if [ -z "$$missing" ]; then \
		echo "Kafka tests: Java $$java and Maven found; a broker is started from its jars."; \
	else \
		echo "Kafka tests: skipped, for they need $$missing. All other tests run."; \
	fi

# Only `make lock` needs uv; it is no part of the locks that it writes.
$(BIN)/uv: | $(BIN)/python
	@$(PIP) install 'uv>=0.13,<1'

$(RUNTIME): requirements.lock pyproject.toml $(COMPILED) | $(BIN)/python
	@echo "Installing what OrderPulse needs to run (requirements.lock) ..."
	@$(PIP_SYNC) requirements.lock
	@$(PIP_SELF)
	@touch $@

# Holds all of the runtime lock, so it satisfies both stamps.
$(DEV): requirements.lock requirements-dev.lock pyproject.toml $(COMPILED) | $(BIN)/python
	@echo "Installing what OrderPulse and its development need (requirements-dev.lock) ..."
	@$(PIP_SYNC) requirements-dev.lock
	@$(PIP_SELF)
	@touch $(RUNTIME) $@

# Candidates are run, not only looked up: a pyenv shim exists for versions that are not installed, and fails when started.
# ensurepip is asked for because Debian and Ubuntu leave it out of python3.11 unless python3.11-venv is installed.
$(BIN)/python:
	@found=; tried=; \
	for candidate in $(if $(PYTHON),"$(PYTHON)",python3.11 python3.12 python3); do \
		version=$$("$$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) \
			|| version="not there, or does not start"; \
		case "$$version" in \
			3.11|3.12) \
				if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then found=$$candidate; break; fi; \
				version="$$version without venv (Debian, Ubuntu: apt install python$$version-venv)";; \
		esac; \
		tried="$$tried  $$candidate: $$version\n"; \
	done; \
	if [ -z "$$found" ]; then \
		{ echo "OrderPulse needs Python 3.11 or 3.12. Tried:"; \
		printf "$$tried"; \
		echo "Why: the stream engine, Bytewax, is published for Python 3.11 and 3.12 only, not for later versions."; \
		echo "What to do: install one of the two, or name it, e.g.  make PYTHON=/path/to/python3.11 $(or $(firstword $(MAKECMDGOALS)),demo)"; } >&2; \
		exit 1; \
	fi; \
	echo "Making $(VENV) with $$found (Python $$version) ..."; \
	"$$found" -m venv --clear $(VENV)
