.DEFAULT_GOAL := help
PYTHON ?= python3
TORCH ?= torch==2.13.0
BIN := .venv/bin
OUT ?= demo

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet -e .
	@touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/pip install --quiet -e ".[dev]"
	@touch $@

setup: .venv/installed-dev ## Create .venv with everything needed to develop

demo: .venv/installed ## Sharpen samples/ with the default network
	@mkdir -p $(OUT)
	$(BIN)/pancli sharpen samples/pan.tif samples/ms.tif $(OUT)/fused.tif --overwrite
	@echo "The result is $(OUT)/fused.tif"

fix: setup ## Format and repair what can be repaired
	$(BIN)/ruff format pancli tests
	$(BIN)/ruff check --fix pancli tests

lint: setup ## Style, types and import layers
	$(BIN)/ruff format --check pancli tests
	$(BIN)/ruff check pancli tests
	$(BIN)/mypy pancli tests
	$(BIN)/lint-imports

# A worker per processor, four at most, each with whole files, as fixtures are shared within one. What computes does so
# on one thread where it is not told otherwise, and threads that have nothing to do sleep rather than spin.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -q -n logical --maxprocesses 4 --dist loadfile

test: setup ## Run the tests
	$(PYTEST)

long: setup ## Run the tests that take minutes, too
	$(PYTEST) -m "long or not long"

check: lint test ## Exactly what CI runs

bench: setup ## Print the benchmark tables (minutes)
	$(BIN)/python -m tests.benchmarks.throughput
	$(BIN)/python -m tests.benchmarks.scale

# What needs a GPU, in steps of under 10 minutes that resume, so that the same command given again goes on: the
# tests marked gpu, whether training waits for examples drawn on the device or on CPUs, the training recipes, and all
# networks on the same budget, of which the table is printed last.
# It needs torch, numpy, safetensors, typer, rich and pytest in the Python it runs, not GDAL, if DATA holds .npy
# arrays: python -m tests.benchmarks.arrays makes them, 85 MB, of which tar and xz make 52.
GPU_PYTHON ?= $(BIN)/python
DATA ?= data
GPU_WEIGHTS := bandset bandset-small gcpnet pannet residual-pnn premix-b msinn premix-h pnn msdcnn ssml
gpu: ## Run what needs a CUDA device: GPU tests, training from the last checkpoint, all networks compared
	$(GPU_PYTHON) -m pytest -q -m gpu tests/test_gpu.py
	$(GPU_PYTHON) -m tests.benchmarks.examples --data $(DATA) --device cuda --workers 12
	$(GPU_PYTHON) -m pancli train weights/bandset-large-long.toml --init bandset --data $(DATA) --out runs/bandset-large-gpu --device cuda --workers 12 --max-minutes 9
	set -e; for name in $(GPU_WEIGHTS); do \
	$(GPU_PYTHON) -m tests.benchmarks.shipped --data $(DATA) --out runs/gpu --weights $$name --device cuda --workers 12 --max-minutes 9; done
	$(GPU_PYTHON) -m tests.benchmarks.networks --data $(DATA) --out runs/networks-gpu --device cuda --workers 12 --max-minutes 7

wheel: setup ## Build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## Remove what can be made again
	rm -rf .venv build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help setup demo fix lint test long check bench wheel clean gpu
