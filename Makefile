# The same commands for people and for .ci/run. `make install` is part of each.
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
BIN := .venv/bin

# Omniglot lies beside the checkout on some machines; elsewhere it is found in the cache or downloaded.
ifndef SAMEKIND_DATA
ifneq ($(wildcard ../shared/omniglot),)
export SAMEKIND_DATA := $(abspath ../shared/omniglot)
endif
endif

.PHONY: install demo check test test-fast bench record clean

install: .venv/installed

.venv/installed: pyproject.toml $(wildcard $(CONSTRAINTS))
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c $(CONSTRAINTS)
	touch $@

demo: install
	$(BIN)/samekind demo $(ARGS)

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q $(ARGS)

test-fast: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q -m 'not slow' $(ARGS)

bench: install
	$(BIN)/python benchmarks/run.py $(ARGS)

record: install
	$(BIN)/python benchmarks/record.py $(ARGS)

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache samekind-demo
