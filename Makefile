# Each target is what a person could type. The first use of any of them makes .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test test-slow faults check claims up

help:
	@echo "make setup      a virtual environment in .venv with everything installed"
	@echo "make demo       50 labelled images in, a labelled dataset out, through the real service"
	@echo "make test       the tests, without those marked slow: 10 minutes on two cores"
	@echo "make test-slow  the tests marked slow: 25 minutes on two cores"
	@echo "make faults     random faults for an hour or so: OFFHAND_FAULT_SEEDS=100 make faults"
	@echo "make check      lint, format, types, layers, tests; CI runs it, then make test-slow"
	@echo "make claims     the six main claims of the papers, measured on the testbed: hours, resumable"
	@echo "make up         the service on http://127.0.0.1:8321"

setup: .venv/installed

# Re-done only when pyproject.toml is newer than the stamp.
.venv/installed: pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) is not installed. Debian and Ubuntu: sudo apt install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: Python 3.11 or newer is needed, and $(PYTHON) is $$($(PYTHON) -V). Name another: make setup PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: $(PYTHON) has no venv module. Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[service,postgres,worker,testbed,dev]"
	@touch $@

demo: setup
	$(BIN)/python -m testbed.demo

test: setup
	$(BIN)/python -m pytest -n auto --dist loadfile

# The random schedules of faults are left to `make faults`: each seed takes minutes.
test-slow: setup
	$(BIN)/python -m pytest -n auto --dist loadfile -m slow --deselect tests/faults/test_schedules.py

faults: setup
	$(BIN)/python -m pytest -m "slow or not slow" -s tests/faults

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

claims: setup
	$(BIN)/python -m testbed.claims --main

up: setup
	$(BIN)/offhand up
