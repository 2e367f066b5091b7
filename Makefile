# SPDX-License-Identifier: GPL-2.0-only
# Any target works as the first command in a fresh clone: .ci/setup makes .venv on the way, once.

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
XEN ?=

.DEFAULT_GOAL := help
.PHONY: help demo test test-pure test-compiled check golden completions bench test-long test-xen mutants clean

help: ## say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: .venv/stamp-run ## start a model host with guests and operate it, under two minutes
	@PATH="$(CURDIR)/$(BIN):$$PATH" .ci/demo

test: test-pure test-compiled ## run the test suite on both builds of the model (but what takes minutes or needs a booted Xen)

test-pure: .venv/stamp-dev ## the same on the sources as they are
	$(BIN)/python -m pytest -n $(WORKERS) -m "not long and not xen"

test-compiled: .venv/stamp-dev ## the same on the compiled model, in a copy under build/compiled
	.ci/compiled -q -n $(WORKERS) -m "not long and not xen" -p no:cacheprovider

check: .venv/stamp-dev ## lint, formatting, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q -p no:cacheprovider tests/test_layers.py

golden: .venv/stamp-dev ## rewrite the recorded outputs under tests/golden; read the diff before you commit it
	$(BIN)/python -m pytest -q tests/golden --update-golden
	git --no-pager diff --stat -- tests/golden

completions: .venv/stamp-dev ## generate completions/ and docs/man/ from the commands
	$(BIN)/python -m xm_tmem.cli.generate .

bench: .venv/stamp-dev ## print the performance figures, each as a ratio measured in the same run
	$(BIN)/python -m benchmarks

test-long: .venv/stamp-dev ## the tests that take minutes
	$(BIN)/python -m pytest -q -m long

test-xen: .venv/stamp-dev ## boot a Xen under QEMU and test inside its dom0; XEN=path/to/hypervisor picks one
	XEN="$(XEN)" $(BIN)/python -m pytest -q -s -m xen tests/system

mutants: .venv/stamp-dev ## seed faults and see whether the tests notice
	$(BIN)/python -m tests.mutants

clean: ## remove .venv and everything generated beside the sources
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info

.venv/stamp-%: .ci/setup setup.cfg pyproject.toml
	PYTHON="$(PYTHON)" .ci/setup $*
	@touch $@
