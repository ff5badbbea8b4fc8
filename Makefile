# Set-up happens by itself: every target first makes the virtual environment when pyproject.toml is newer than it.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= runs

# Files of tests run side by side; a worker needs about 5 GB. In their own order: by the number of tests, which is the
# default, the files of one long test would come last, and one core would wait for the other.
WORKERS ?= -n auto --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.PHONY: demo demo-bandit demo-lm test test-slow check mutants figures site explorer notebooks clean

demo: $(VENV)/installed
	$(BIN)/python -m experiments.maze.demo --workdir=$(OUT)/demo

demo-bandit: $(VENV)/installed
	$(BIN)/python -m experiments.bandit.demo --workdir=$(OUT)/demo-bandit

# A real language model: fetched once, then MaxRL, GRPO and RLOO from it; a table, a figure, completions.
demo-lm: $(VENV)/installed
	$(BIN)/python -m experiments.lm.fetch --model=smollm2-135m --out=models/smollm2-135m
	$(BIN)/python -m experiments.sweep --experiment=lm --config=configs/lm.py:smollm2_quick \
		--grid=rl.advantage.name=maxrl,grpo,rloo --workdir=$(OUT)/demo-lm
	$(BIN)/python -m experiments.figures --figure=model_overview --runs=$(OUT)/demo-lm --out=$(OUT)/demo-lm
	for run in $(OUT)/demo-lm/*,seed=0; do $(BIN)/python -m experiments.lm.show "$$run" --prompts=2; done

test: $(VENV)/installed
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest $(WORKERS)

test-slow: $(VENV)/installed
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest -m slow

check: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	JAX_PLATFORMS=cpu $(BIN)/python -m experiments.results.check

mutants: $(VENV)/installed
	$(BIN)/python tests/mutants.py --out docs/mutants.md

figures: $(VENV)/installed
	$(BIN)/python -m experiments.figures --figure=all --out=$(OUT)/figures --quick

# A static site in build/site, which opens from a folder too.
site: $(VENV)/installed-docs
	JAX_PLATFORMS=cpu NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

explorer: $(VENV)/installed-docs
	JAX_PLATFORMS=cpu $(BIN)/python -m docs.explorer.build --out=$(OUT)/explorer.html

notebooks: $(VENV)/installed
	$(BIN)/python notebooks/build.py

$(VENV)/installed: pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python >= 3.11 is needed"'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable ".[dev,docs]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info
