# The README's commands. Needs python3 with pip, and make; everything else is installed into .venv by uv.
VENV    ?= .venv
PYTHON  := $(VENV)/bin/python
UV      := $(VENV)/uv/bin/uv
READY   := $(VENV)/.ready
COMPAT  := $(VENV)-compat
INTEROP := $(VENV)-interop
DEMO    ?= run
SHIPPED ?= run-embedded
BENCH   ?= $(filter-out measure,$(basename $(notdir $(wildcard benchmarks/*.py))))

.PHONY: help setup test test-slow test-gpu test-compat test-interop test-browser check format demo embedded bench docs clean
help:            ## this list
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:[^#]*##/\t/' | expand -t 16

setup: $(READY)  ## make the environment in .venv
$(READY): setup.cfg constraints.txt
	test -x $(UV) || python3 -m pip install --quiet --disable-pip-version-check --target $(VENV)/uv 'uv>=0.5'
	test -x $(PYTHON) || $(UV) venv --quiet --allow-existing --python python3 $(VENV)
	$(UV) pip install --quiet --compile-bytecode --python $(PYTHON) --constraint constraints.txt --editable '.[test]'
	touch $@

test: setup      ## the whole suite but the slow part, under 15 minutes on 2 cores
	$(PYTHON) -m pytest --durations 25 --durations-min 4

test-slow: setup ## fuzzing and other tests that take minutes
	$(PYTHON) -m pytest -m slow --timeout 3600

test-gpu: setup  ## tests that need a CUDA device
	$(PYTHON) -m pytest -m gpu

test-compat: setup  ## the generator's tests under the oldest supported diffusers and transformers, in .venv-compat
	test -x $(COMPAT)/bin/python || $(UV) venv --quiet --python $(PYTHON) $(COMPAT)
	awk -F== 'NR == FNR {old[$$1]; next} !($$1 in old)' constraints-compat.txt constraints.txt > $(COMPAT)/others.txt
	$(UV) pip install --quiet --python $(COMPAT)/bin/python --constraint constraints-compat.txt \
		--constraint $(COMPAT)/others.txt --editable . pytest pytest-timeout hypothesis
	$(COMPAT)/bin/python -m pytest tests/generator

test-interop: setup $(INTEROP)/.ready  ## MXNet itself reads what we write, and we read what it writes, in .venv-interop
	SYNTHFACE_INTEROP_PYTHON=$(INTEROP)/bin/python $(PYTHON) -m pytest -m interop tests/interop
$(INTEROP)/.ready: constraints-interop.txt $(READY)
	test -x $(INTEROP)/bin/python || $(UV) venv --quiet --allow-existing --python 3.11 $(INTEROP)
	$(UV) pip install --quiet --python $(INTEROP)/bin/python --constraint constraints-interop.txt mxnet numpy opencv-python-headless
	touch $@

test-browser: setup ## the report in headless Chromium, at 320 to 1280 pixels, light and dark
	test -n "$$CHROMIUM" || command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
		{ echo 'There is no Chromium. Install it (Debian, as root: apt-get install chromium), or name it: CHROMIUM=/path make test-browser' >&2; exit 1; }
	$(PYTHON) -m pytest -m browser tests/report

check: setup     ## format, lint, types, and who may import whom
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

demo: setup      ## the main job on the demonstration models: people, their pictures, a recogniser and its table
	$(VENV)/bin/synthface sample-ids --run $(DEMO)
	$(VENV)/bin/synthface render --run $(DEMO) --ids 100 --per-id 10
	$(VENV)/bin/synthface train-fr --run $(DEMO)

embedded: setup  ## the shipped models, from nothing, by the public commands: hours, into SHIPPED=run-embedded; see docs/embedded.md
	mkdir -p $(SHIPPED)
	cd $(SHIPPED) && PATH="$(abspath $(VENV))/bin:$$PATH" OMP_NUM_THREADS=1 sh -ex ../docs/embedded.sh

bench: setup $(INTEROP)/.ready  ## all benchmarks, or those of BENCH="fit_prior sample_ids"; writes benchmarks/results/
	for name in $(BENCH); do $(PYTHON) benchmarks/$$name.py --keep || exit 1; done

docs: setup      ## write the reference pages from the commands and the recipe schema
	$(PYTHON) docs/reference.py

format: setup    ## let ruff rewrite what it can
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

clean:           ## remove the environment and caches
	rm -rf $(VENV) $(COMPAT) $(INTEROP) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache *.egg-info
