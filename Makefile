.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup demo ui test fast check fix migration bench docs lock clean

help:  ## Say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | sort | expand -t 14

$(READY): requirements.lock pyproject.toml
	@echo "Setting up .venv from requirements.lock (once; a few minutes)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

setup: $(READY)  ## Build .venv from the lock file

demo: $(READY)  ## Run the whole product on the bundled simulator, into ./data
	@$(BIN)/unisono demo

ui: $(READY)  ## Open simulator and Dagster on the demo's history
	@$(BIN)/unisono ui

test: $(READY)  ## Run all tests
	@$(BIN)/python -m pytest -q -n auto

fast: $(READY)  ## Run the tests that need only seconds
	@$(BIN)/python -m pytest -q -n auto -m "not slow and not postgres and not browser and not spark"

check: $(READY)  ## Lint, types, import rule, connectors, generated files: what CI runs first
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy && $(BIN)/lint-imports --no-cache
	@$(BIN)/unisono check --all && $(BIN)/python -m canonical_model.generate --check && $(BIN)/python -m connectors.sdk.docs --check

fix: $(READY)  ## Format and repair what a machine can repair
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

migration: $(READY)  ## Write a migration for a changed vocabulary: make migration m="what changed"
	@$(BIN)/python -m pipelines.store.migrate "$(m)"

bench: $(READY)  ## Run the benchmarks and print their tables
	@$(BIN)/python -m tests.benchmarks

bench-consent: $(READY)  ## Opt-outs lost in random merges, and what channels cost per person
bench-decisions: $(READY)  ## Decisions bind, and undone merges give the first ids: 10,000 runs each
bench-fanout: $(READY)  ## Children of a thousand parents, against what the quota allows
bench-households: $(READY)  ## Households decided where a change can reach: equal to full runs, and what a change costs
bench-identity: $(READY)  ## Who is who, on the labelled sets, beside Splink
bench-ids: $(READY)  ## Ids kept over order, new records and training
bench-history: $(READY)  ## Merges taken back, past states rebuilt, a source retracted
bench-incremental: $(READY)  ## What changes cost beside a full run
bench-influence: $(READY)  ## Dated graphs, random histories, a roll-up over 100,000 accounts
bench-kills: $(READY)  ## 200 processes killed on each store: the next run ends with the digest of an undisturbed one
bench-land: $(READY)  ## Fetch and land beside dlt, Airbyte and Singer
bench-memory: $(READY)  ## Peak memory of fetch and land, by the stream's length
bench-mutants: $(READY)  ## Which published bugs the conformance kit catches
bench-pipeline: $(READY)  ## Landed payloads to golden people, a million of them
bench-quota: $(READY)  ## How much of an allowed rate is used
bench-rotation: $(READY)  ## Refresh tokens that rotate, with crashes
bench-shared: $(READY)  ## A thousand planted shared values merge nobody
bench-spark: $(READY)  ## Spark beside DuckDB: equal rows, pairs and scores, and what each costs
bench-%:
	@$(BIN)/python -m tests.benchmarks.bench_$*

docs: $(READY)  ## Regenerate the reference pages and build the site into ./site
	@$(BIN)/python -m canonical_model.generate && $(BIN)/python -m connectors.sdk.docs
	@$(BIN)/zensical build

lock: $(READY)  ## Resolve requirements.lock anew
	@$(BIN)/python -m pip install --quiet uv && $(BIN)/uv pip compile pyproject.toml --extra postgres --extra spark --extra docs --group dev \
		--universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --no-strip-extras -q -o requirements.lock

clean:  ## Remove the demo's data
	@rm -rf data
