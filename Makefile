# Everything that a person or a CI does with this tree; `make` alone lists it.

PYTHON ?=
VENV := .venv
LITELLM := .venv-litellm
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
SOAK_KILLS ?= 200
SOAK_TIMES ?= 20
SOAK_BOOKS ?= 10000

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup develop demo gallery test test-books test-bench test-system test-kill test-hostile test-motion test-engines check bench soak lock clean

help:  ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.run  ## Make .venv with everything that Squero needs to run
	@echo 'Ready. Try `make demo`, or $(BIN)/squero serve'

develop: $(VENV)/.develop  ## The same with everything that tests and checks need
	@echo 'Ready. Try `make test` and `make check`.'

demo: $(VENV)/.run  ## Make a video of examples/lagoon.jpg on a server of its own: demo.mp4
	@$(BIN)/python examples/demo.py

gallery: $(VENV)/.run  ## Draw 24 prompts anew: docs/gallery.jpg
	@$(BIN)/python examples/gallery.py

test: $(VENV)/.develop  ## Run the tests, in two processes (minutes)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not kill and not hostile and not motion and not system and not bench and not books and not engines'

test-books: $(VENV)/.develop  ## Drive the books through hundreds of random sequences, beside a model of them
	$(BIN)/python -m pytest -m 'books and not system'

test-bench: $(VENV)/.develop  ## Whether every benchmark runs, at a tiny size
	$(BIN)/python -m pytest -m bench

test-system: $(VENV)/.develop  ## The domain and the store again, on the PostgreSQL 15 or later on PATH
	$(BIN)/python -m pytest -m 'system and not books'

test-kill: $(VENV)/.develop  ## Stop and kill processes, also at random moments, and look at what is left
	$(BIN)/python -m pytest -m kill

test-hostile: $(VENV)/.develop  ## Treat a server badly: URLs, media, sockets, requests (minutes)
	$(BIN)/python -m pytest -m hostile

test-motion: $(VENV)/.develop  ## Whether the engine `motion` does what the words say, and smoothly
	$(BIN)/python -m pytest -m motion

test-engines: $(VENV)/.engines  ## Tiny models through the engine `diffusers`, on the processor (minutes; adds torch)
	$(BIN)/python -m pytest -m engines

check: $(VENV)/.develop  ## Lint, format, types, import directions, and whether the docs are true
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict squero
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/docs

bench: $(VENV)/.develop $(LITELLM)/.run  ## Measure
	$(BIN)/python -m benchmarks

soak: $(VENV)/.develop  ## The long form of test-books, test-kill (SOAK_KILLS kills) and test-hostile (20 times)
	SQUERO_BOOKS=$(SOAK_BOOKS) $(BIN)/python -m pytest -m 'books and not system' --timeout=0
	SQUERO_KILLS=$(SOAK_KILLS) $(BIN)/python -m pytest -m kill --timeout=0
	SQUERO_SOAK=$(SOAK_TIMES) $(BIN)/python -m pytest -m hostile --timeout=0

# Not part of setup: this is the one target that decides versions.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --no-annotate --no-header
LOCK := $(COMPILE) pyproject.toml requirements/build.in
# torch has builds with CUDA and without; which one fits is for a machine and its pip to say.
BUT_TORCH := awk '/^[^ ]/ { out = !/^(cuda|nvidia|torch|triton)[-=]/ } out'
lock:  ## Choose the versions anew: requirements/*.txt
	@command -v uv >/dev/null || { echo 'make lock needs uv: https://docs.astral.sh/uv/' >&2; exit 1; }
	@trap 'rm -f requirements/*.new' EXIT; set -e; \
	{ echo '# Made by `make lock`: everything Squero needs to run, pinned with hashes.'; \
	  $(LOCK); } > requirements/run.txt.new; \
	{ echo '# Made by `make lock`: what runs Squero and what its tests and checks need, pinned with hashes.'; \
	  $(LOCK) --extra dev; } > requirements/develop.txt.new; \
	{ echo '# Made by `make lock`: what the engine `diffusers` needs besides torch, pinned with hashes.'; \
	  $(LOCK) --extra diffusers | $(BUT_TORCH); } > requirements/diffusers.txt.new; \
	{ echo '# Made by `make lock`: what `make bench` measures Squero beside, pinned with hashes.'; \
	  echo 'litellm[proxy]' | $(COMPILE) -; } > requirements/litellm.txt.new; \
	for name in run develop diffusers litellm; do mv requirements/$$name.txt.new requirements/$$name.txt; done

clean:  ## Remove what all of the above made, except demo.mp4
	rm -rf $(VENV) $(LITELLM) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find squero tests benchmarks examples -name __pycache__ -type d -exec rm -rf {} +

# The environment. A stamp says what is installed; it is older than what it was made from when
# something has to be installed again.

$(VENV)/.run: requirements/run.txt pyproject.toml | $(BIN)/pip
	@echo 'Installing what Squero needs into $(VENV): the first time this takes a minute …'
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/run.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.develop: requirements/develop.txt $(VENV)/.run
	@echo 'Installing what its tests and checks need …'
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/develop.txt
	@touch $@

$(VENV)/.engines: requirements/diffusers.txt $(VENV)/.develop
	@echo 'Installing what the engine `diffusers` needs: gigabytes with CUDA, and minutes …'
	@$(PIP) install --quiet --no-deps --require-hashes -r requirements/diffusers.txt
	@$(PIP) install --quiet torch==2.13.0
	@touch $@

# Apart from ours: it would have other versions of what we need.
$(LITELLM)/.run: requirements/litellm.txt | $(BIN)/pip
	@echo 'Installing LiteLLM, to be measured beside, into $(LITELLM): the first time this takes minutes …'
	@$(BIN)/python -m venv --clear --without-pip $(LITELLM)
	@$(PIP) --python $(LITELLM) install --quiet --no-deps --require-hashes -r requirements/litellm.txt
	@touch $@

# The first interpreter that is new enough.
$(BIN)/pip:
	@python=; \
	for name in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	  if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$name; break; \
	  fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo 'Squero needs Python 3.11 or later, and there is none here by the name of' >&2; \
	  echo '$(or $(PYTHON),python3 or python3.11 to python3.14). Install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)' >&2; \
	  exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version) …"; \
	if ! "$$python" -m venv --clear $(VENV) >$(VENV).log 2>&1; then \
	  cat $(VENV).log >&2; rm -rf $(VENV) $(VENV).log; \
	  echo "$$python cannot make a virtual environment with pip. Debian and Ubuntu keep that in a package of its own: apt install python3-venv" >&2; \
	  exit 1; \
	fi; \
	rm -f $(VENV).log
