# Everything runs in .venv, which every target that needs it makes first. Only system-deps needs root.
# `make help` prints the lines that begin with two hashes.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.svmlab-setup
# The packages of an extra are installed when the first target needs them: a learner's `make lab` fetches no test tools.
WITH_TEST := $(VENV)/.with-test
WITH_CLUSTER := $(VENV)/.with-cluster
WITH_ALL := $(addprefix $(VENV)/.with-,test docs grading cluster delivery)
# JupyterLite's extension does not load in JupyterLab, so it stands beside what JupyterLab looks at.
LITE := $(VENV)/lite

NOTEBOOKS := $(wildcard notebooks/*.ipynb notebooks/solutions/*.ipynb)
# What `make lab` opens: the first notebook, or the folder while there is none.
FIRST := $(firstword $(sort $(wildcard notebooks/00_*.ipynb)) notebooks)
# What `make coverage` runs: a tracer slows each line, so tests of pictures, notebooks, text and speed stay out.
ASIDE := $(foreach name,bench course* documents house_style import_ladder kernel_symbols lab makefile package,tests/unit/test_$(name).py)
BELOW_VIEWS := $(addprefix svmlab/,hardware log mm scenario svm trace) $(addprefix tests/,property scenarios vectors) \
  $(addprefix tests/unit/,faults memory migration ranges restore trace) \
  $(filter-out $(wildcard $(ASIDE)),$(wildcard tests/unit/test_*.py)) --ignore tests/unit/memory/test_no_loop_per_page.py
DEMO_PLOT := out/first-migration.png
SYSTEM_PACKAGES := python3-venv chromium fonts-dejavu-core

PYTEST := $(BIN)/python -m pytest
NBVAL := $(PYTEST) --nbval --nbval-current-env --nbval-cell-timeout=120 \
  $(addprefix --nbval-sanitize-with=,$(wildcard tests/notebooks/sanitize.cfg))

.PHONY: help setup lab demo test docs lite delivery soak mutants lint format notebooks bench coverage reproducible peers lock system-deps clean

## help: print this list (also plain `make`)
help:
	@awk '/^## [a-z-]+: / { name = $$2; sub(/^## [a-z-]+: /, ""); printf "make %-13s%s\n", substr(name, 1, length(name) - 1), $$0 }' $(firstword $(MAKEFILE_LIST))

## setup: make .venv, install what the course needs and svmlab itself (editable); the targets below do it when needed
setup: $(STAMP)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: svmlab needs Python 3.11 or newer as '$(PYTHON)'. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' has no venv module. Debian and Ubuntu have it in the package python3-venv:" >&2; \
	  echo "make: run 'make system-deps' as root, or install it yourself, then try again." >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# The lock's lines for an extra, each with its hashes: pip takes nothing else.
LOCKED = $(BIN)/python .ci/locked.py $(1) > $(VENV)/locked-$(1).txt && \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/locked-$(1).txt

$(STAMP): requirements.lock pyproject.toml .ci/locked.py | $(BIN)/python
	@echo "Installing the locked packages into $(VENV) (a minute or two the first time) ..."
	@$(call LOCKED,lab)
	@# The build tool is in the lock too, so nothing unpinned is fetched for the package itself.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@# matplotlib's first import may write a note about its font cache to stderr, which would be a cell's output.
	@$(BIN)/python -c 'import matplotlib.font_manager' 2>/dev/null
	@touch $@

$(LITE)/.done: requirements.lock pyproject.toml .ci/locked.py | $(STAMP)
	@echo "Installing the locked packages of 'lite' into $(LITE) ..."
	@rm -rf $(LITE)
	@$(BIN)/python .ci/locked.py lite > $(VENV)/locked-lite.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(LITE) -r $(VENV)/locked-lite.txt
	@touch $@

$(VENV)/.with-%: requirements.lock pyproject.toml .ci/locked.py | $(STAMP)
	@echo "Installing the locked packages of '$*' into $(VENV) ..."
	@$(call LOCKED,$*)
	@touch $@

## lab: open JupyterLab on the course
lab: setup
	@# Jupyter refuses to run as root (containers) unless it is told to.
	@test "$$(id -u)" -ne 0 || root=--allow-root; exec $(BIN)/python -m jupyterlab $$root $(LAB_ARGS) $(FIRST)

## demo: run the first scenario: step table, timeline in words, picture in out/
demo: setup
	@mkdir -p $(dir $(DEMO_PLOT))
	@$(BIN)/svmlab run data/scenarios/first-migration.toml --plot $(DEMO_PLOT)

## test: run all tests, then execute every notebook and compare each cell's output
test: setup $(WITH_TEST) $(WITH_CLUSTER)
	$(PYTEST)
	@test -n "$(NOTEBOOKS)" || { echo "make: no notebook found; run 'make notebooks'" >&2; exit 1; }
	@# A learner's progress must not change what a cell prints: the notebooks get an empty state folder.
	@state=$$(mktemp -d) && trap 'rm -rf "$$state"' EXIT && echo "$(NBVAL) $(NOTEBOOKS)" && \
	  SVMLAB_STATE="$$state" MPLBACKEND= $(NBVAL) $(NOTEBOOKS)

## docs: build the book as a website in out/book: the course with its outputs, API, behaviours, file formats
docs: setup $(VENV)/.with-docs
	@$(BIN)/python docs/book/stage.py out/book-source
	@$(BIN)/python -m sphinx -q -W --keep-going -E -j auto -b html out/book-source out/book
	@echo "the book: out/book/index.html"

## lite: build the course as a static site in out/lite, whose Python runs in the browser (JupyterLite)
lite: setup $(WITH_TEST) $(LITE)/.done
	@$(BIN)/python docs/lite/stage.py out/lite-source
	@rm -rf out/lite out/lite-wheels build
	@$(BIN)/python -m uv build --quiet --wheel --no-build-isolation --offline --out-dir out/lite-wheels
	@cd docs/lite && PYTHONPATH=../../$(LITE) ../../$(BIN)/python -m jupyterlite_core build >../../out/lite.log 2>&1 || { cat ../../out/lite.log; exit 1; }
	@echo "the site: out/lite/index.html (serve it: python -m http.server -d out/lite)"

## delivery: check what leaves the house: book, JupyterLite, Binder, nbgrader, the installed wheel
delivery: setup $(WITH_ALL) docs lite
	$(PYTEST) tests/delivery

## soak: random histories against flat arrays of bytes, SECONDS=120 long; SEED=n repeats what a run printed
soak: setup $(WITH_TEST)
	@SVMLAB_SECONDS=$(or $(SECONDS),120) SVMLAB_SEED=$(SEED) $(BIN)/python tests/property/test_byte_oracle.py

## mutants: put faults of one line into a copy of the model; the tests must notice every one (half an hour or less)
mutants: setup
	@$(BIN)/python tests/mutants/run.py

## lint: check style, formatting and types
lint: setup $(WITH_TEST)
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy

## format: format the code and mend what ruff can mend
format: setup $(WITH_TEST)
	$(BIN)/python -m ruff check --fix
	$(BIN)/python -m ruff format

## notebooks: build learner and solution notebooks, glossary, misconceptions and the guide's tables from notebooks/source
notebooks: setup $(WITH_TEST)
	$(BIN)/python -m svmlab.course.build
	$(BIN)/python -m svmlab.course.pages

## bench: measure svmlab itself, and write the table of README.md
bench: setup $(WITH_TEST)
	@mkdir -p out
	$(BIN)/python -m tests.ends.measure > out/two-ends.json
	$(BIN)/svmlab bench all --with out/two-ends.json --into README.md

## coverage: the tests of what lies below views, and which of its lines and branches none of them runs
coverage: setup $(WITH_TEST)
	@mkdir -p out
	@# In another order each time: no test may depend on what ran before it.
	SVMLAB_EXAMPLES=10 SVMLAB_ORDER=$${SVMLAB_ORDER:-$$(date +%s)} && export SVMLAB_EXAMPLES SVMLAB_ORDER && \
	  echo "SVMLAB_ORDER=$$SVMLAB_ORDER" && $(BIN)/python -m coverage run --data-file=out/coverage -m pytest -q -p no:cacheprovider $(BELOW_VIEWS)
	$(BIN)/python -m coverage report --data-file=out/coverage

## reproducible: the same bytes of trace from every Python here, with the lowest and the newest numpy it can have
reproducible: setup $(WITH_TEST)
	$(BIN)/python -m tests.reproducible.compare

## peers: run the scenarios after other projects' tests and print whose expectations they hold
peers: setup
	@$(BIN)/svmlab peers

## lock: bring requirements.lock up to date with pyproject.toml (UPGRADE=1: take newer versions)
lock: setup $(WITH_TEST)
	$(BIN)/python -m uv pip compile pyproject.toml --universal --generate-hashes --all-extras \
	  --custom-compile-command "make lock" --no-emit-index-url --no-emit-find-links --quiet \
	  $(if $(UPGRADE),--upgrade) --output-file requirements.lock

## system-deps: install the system packages (venv, Chromium for the browser tests, fonts); needs root
system-deps:
	@command -v apt-get >/dev/null || { \
	  echo "make: no apt-get here; install the equivalents of: $(SYSTEM_PACKAGES)" >&2; exit 1; }
	@test "$$(id -u)" -eq 0 || { echo "make: this target needs root. Try: sudo make system-deps" >&2; exit 1; }
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(SYSTEM_PACKAGES)

## clean: remove caches, build leftovers and out/; .venv stays
clean:
	rm -rf build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +
