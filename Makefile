# Three commands for a stranger: `make demo`, `make loop` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo loop test
.DEFAULT_GOAL := demo

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/complete: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The main job on a sample made from what every Python has: no network, no data to fetch.
demo: .venv/installed
	$(BIN)/python -m corpus sample demo/input
	$(BIN)/python -m corpus build corpus/recipes/sample.toml --out demo/run

# The whole turn, on the same sample: spoil, train, find, correct, build again, train again, compare.
loop: .venv/complete
	$(BIN)/python -m eval loop --out demo/loop

test: .venv/complete
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2
