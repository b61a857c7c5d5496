# Every target does its own set-up: a .venv from python3 (3.11 or newer), exact versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SPARK := $(VENV)/.installed-spark
export CDP_HOME ?= $(CURDIR)/data
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export GX_ANALYTICS_ENABLED := False

.PHONY: help demo test spark ui lint bench install clean

help: ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12 …"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m venv $(VENV); } \
		|| { rm -rf $(VENV); echo "No virtual environment can be made; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "Installing exact versions into $(VENV) (some minutes the first time) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(SPARK): $(INSTALLED)
	@echo "Installing Spark into $(VENV) (0.5 GB) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,spark]'
	@touch $@

install: $(INSTALLED) ## the .venv with everything

demo: $(INSTALLED) ## a sample company from landing to syncs
	@$(BIN)/cdp demo

test: $(SPARK) ## lint and every test that this machine can run
	@$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

# The whole job on a cluster of its own below data/spark, then both engines compared at full size.
spark: $(SPARK) ## the sample company on a Spark cluster of this machine, and parity with DuckDB
	@$(BIN)/cdp --home $(CURDIR)/data/spark spark run demo
	@CDP_PARITY_PEOPLE=$${CDP_PARITY_PEOPLE:-10000} CDP_PARITY_DAYS=$${CDP_PARITY_DAYS:-305} \
		$(BIN)/python -m pytest -s tests/spark

ui: $(INSTALLED) ## the Dagster web UI with the finished runs (http://127.0.0.1:3000)
	@$(BIN)/python -m orchestration.ui

lint: $(INSTALLED) ## ruff, mypy, sqlfluff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/python -m orchestration.lint

bench: $(INSTALLED) ## times and memory, printed
	@$(BIN)/python benchmarks/run.py

clean: ## the .venv and caches; never data/
	@rm -rf $(VENV) target logs .pytest_cache .ruff_cache .mypy_cache
