# Each target sets up what it needs: a virtual environment in .venv, and through `tagging` the rest.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run ui test browser-test lint bench quality constraints clean reset

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c '$(SUITABLE)' 2>/dev/null && echo $$name && break; done)

help:
	@echo "make run [INPUT=path]   set up everything, load the sample (or a file or folder), tag it, show what came out"
	@echo "make ui                 serve the Dagster UI"
	@echo "make test [ARGS=...]    run the tests"
	@echo "make browser-test       open the report in Chromium on a phone, a desktop and paper"
	@echo "make lint               check style and types"
	@echo "make bench [INPUT=path] measure speed from a file to published tags"
	@echo "make quality DATA=dir   compare tags, merging and learning with other taggers on labelled sets"
	@echo "make constraints        pin what is installed now in constraints.txt"
	@echo "make reset              delete the state (.tagging), after asking"
	@echo "make clean              delete the virtual environment, the tests' servers and caches"

run: $(INSTALLED)
	@$(BIN)/tagging run $${INPUT:+--input "$$INPUT"}

ui: $(INSTALLED)
	@$(BIN)/tagging ui

test: $(INSTALLED)
	@$(BIN)/pytest $(ARGS)

# Chromium is found on the path, or named: make browser-test CHROMIUM=/path/to/chrome
browser-test: $(INSTALLED)
	@CHROMIUM="$(CHROMIUM)" $(BIN)/pytest -n 0 -m browser tests/browser $(ARGS)

lint: $(INSTALLED)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright

bench: $(INSTALLED)
	@$(BIN)/python benchmarks/end_to_end.py --input "$${INPUT:-tagging_orchestration/demo/sample_contents.jsonl}"

quality: $(INSTALLED)
	@test -n "$(DATA)" || { echo "make quality DATA=dir: a folder with labelled sets (docs/quality.md)" >&2; exit 2; }
	@$(BIN)/python -m benchmarks.quality --data "$(DATA)" --out "$${OUT:-.}"

# Without local version labels such as +cpu, which exist for one kind of machine only.
constraints: $(INSTALLED)
	@$(BIN)/python -m pip freeze --exclude-editable | sed 's/+.*//' > constraints.txt

reset: $(INSTALLED)
	@$(BIN)/tagging reset

clean:
	@for home in .tagging-test/*/postgres; do if [ -d "$$home" ]; then \
		TAGGING_HOME="$${home%/postgres}" $(BIN)/tagging reset --yes || true; fi; done
	@rm -rf $(VENV) .tagging-test .hypothesis .pytest_cache .ruff_cache *.egg-info build dist

# The stamp is written last, so that an interrupted set-up starts over.
$(INSTALLED): pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c '$(SUITABLE)' 2>/dev/null; then \
		echo "Python 3.11, 3.12 or 3.13 is needed, and $(or $(PYTHON),python3) is $$($(or $(PYTHON),python3) --version 2>&1)." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.13 ..." >&2; exit 1; fi
	@if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "Making a virtual environment in $(VENV) with $$($(PYTHON) --version)"; \
		rm -rf $(VENV); $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; fi
	@echo "Installing the dependencies into $(VENV): about 2 GB, some minutes"
	@set -o pipefail; \
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off \
		-c constraints.txt -e '.[dev]' 2>&1 | tee $(VENV)/install.log | \
	while read -r line; do case "$$line" in \
		Collecting*) printf .;; \
		"Installing collected packages"*) printf '\nUnpacking ...';; esac; done; \
	code=$$?; echo; if [ $$code -ne 0 ]; then \
		tail -n 25 $(VENV)/install.log >&2; echo "The installation failed: see $(VENV)/install.log" >&2; exit $$code; fi
	@touch $@
