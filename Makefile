# Every target works from a bare Python 3.11: the first one called fills .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Two processes of one thread each: nearly twice as fast on two cores as one process of two.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: install demo test test-slow test-all test-browser check format docs bench clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "uv>=0.9"
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable . --group dev
	@touch $@

demo: $(INSTALLED)  ## the main job on embedded data: draw scenes, train, evaluate, predict
	$(BIN)/intarsia demo --out demo

test: $(INSTALLED)
	$(PYTEST)

test-slow: $(INSTALLED)  ## trainings that are killed, starved and lied to, large networks, documents that train: minutes
	$(PYTEST) -m slow

test-all: $(INSTALLED)  ## the slow ones too
	$(PYTEST) -m "not gpu and not browser"

test-browser: $(INSTALLED)  ## needs Chromium: what the pages look like in it
	$(BIN)/python -m pytest -m browser

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED)
	$(BIN)/python tools/settings_page.py > docs/settings.md
	$(BIN)/python tools/data_tables.py > docs/data.md.new && mv docs/data.md.new docs/data.md

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.augmentation
	$(BIN)/python -m benchmarks.training_step
	$(BIN)/python -m benchmarks.networks
	$(BIN)/python -m benchmarks.trust
	$(BIN)/python -m benchmarks.check_speed
	$(BIN)/python -m benchmarks.misalignment
	$(BIN)/python -m benchmarks.objects
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m benchmarks.folder
	$(BIN)/python -m benchmarks.large_picture

clean:
	rm -rf $(VENV) demo .mypy_cache .pytest_cache .ruff_cache
