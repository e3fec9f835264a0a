# Each target sets up what it needs: a virtual environment in .venv, with the versions of constraints.txt.
# Nothing but Python 3.11 to 3.13, a package index and Maven Central is needed. Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Processes that the tests run in, each with a broker of its own: many tests wait more than they work.
JOBS ?= 4
# The tests on clusters are one group: they run in one process, one after the other, beside the simulation and all others.
CHAOS_JOBS ?= 3
# Tests start hundreds of processes: without bytecode each would compile all of the package again.
unexport PYTHONDONTWRITEBYTECODE
INPUTS := pyproject.toml constraints.txt
PEERS := .venv-peers
PEER_INPUTS := benchmarks/peers/requirements.txt benchmarks/constraints-peers.txt

.PHONY: help install demo test lint docs bench bench-java wheel chaos compose-test clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.runs ## Install it into .venv, to run streams by hand: . .venv/bin/activate puts it on the path

demo: $(VENV)/.runs ## Show it all once: broker, worker, real bars, a symbol added, a crash (KEEP=1 stays up)
	@$(BIN)/streams demo $(if $(KEEP),--keep)

test: $(VENV)/.develops ## Run the tests, on real brokers (ARGS="-k gate" go to pytest; JOBS=1 runs them in one process)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal $(ARGS)

chaos: $(VENV)/.develops ## Run the kill tests, all slow tests, the long simulation, and properties with all examples (ARGS="-k million")
	@EXAMPLES=all $(BIN)/python -m pytest -m "chaos or slow or hypothesis" tests/chaos tests/unit \
	    --numprocesses $(CHAOS_JOBS) --dist loadgroup --durations 40 $(ARGS)

lint: $(VENV)/.develops ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict streams
	$(BIN)/lint-imports

docs: $(VENV)/.develops ## Write the pages of the reference from the code
	@$(BIN)/python docs/build.py

bench: $(VENV)/.develops $(PEERS)/.made ## Measure, beside plain Faust and quixstreams too (ARGS="--save docs/performance.md" keeps the figures)
	@$(BIN)/python -m benchmarks $(ARGS)

bench-java: $(VENV)/.develops ## Measure beside Kafka Streams (needs a JDK and Maven)
	@command -v mvn >/dev/null || { echo "there is no mvn: install Maven and a JDK 17" >&2; exit 1; }
	@mvn --quiet --batch-mode --file benchmarks/java/pom.xml package
	@$(BIN)/python -m benchmarks java $(ARGS)

compose-test: $(VENV)/.develops ## Bring docker-compose.yml up, kill the active worker, take all down (needs a container engine)
	@$(BIN)/python -m pytest -m compose tests $(ARGS)

wheel: $(VENV)/.made ## Build the wheel in dist/, to install elsewhere: pip install 'dist/session_streams-0.2.0-py3-none-any.whl[worker]'
	@$(PIP) wheel --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## Delete the virtual environment and all caches of this tree
	@rm -rf $(VENV) $(PEERS) benchmarks/java/target build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last, so an interrupted installation is done again.
$(VENV)/.runs: $(VENV)/.made $(INPUTS)
	@echo "installing session-streams and what it needs into $(VENV) (once; about a minute)"
	@$(PIP) install --constraint constraints.txt --editable '.[worker,replay,broker]'
	@touch $@

$(VENV)/.develops: $(VENV)/.runs
	@echo "installing the tools for tests and checks into $(VENV) (once)"
	@$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Other versions of the libraries that this project uses: an environment of its own.
$(PEERS)/.made: $(VENV)/.made $(PEER_INPUTS)
	@echo "installing what is measured against into $(PEERS) (once)"
	@rm -rf $(PEERS)
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --quiet install \
	    --constraint benchmarks/constraints-peers.txt --requirement benchmarks/peers/requirements.txt
	@touch $@

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "there is no $(PYTHON): install Python 3.11 to 3.13, or name one: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	    echo "$(PYTHON) is $$($(PYTHON) -c 'import platform; print(platform.python_version())'): Python 3.11 to 3.13 is needed; name one: make PYTHON=python3.12" >&2; exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@
