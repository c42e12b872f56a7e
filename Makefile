# Everything runs from .venv, which the first target builds: nothing else on the machine is changed.
#
#   make demo     the whole study on artificial languages, on this machine
#   make test     ruff, formatting and all tests but the slowest        make check    ruff and pyright
#   make faults   damaged stores, a bad network, malformed inputs, lost nodes, kill -9 in whole runs: over
#                 an hour (SEED=0, PARTS=network: one of them)
#   make image    the CPU image, by docker or buildah (BASE=python@sha256:…, VARIANT=cuda, TAG=…)
#   make cluster-test   the image as head, workers and submitter of the kind overlay, in containers; as root
#   make bench    every benchmark in turn, hours on a quiet machine (ENCODER=FOLDER DATA=FOLDER; BENCHES="grid
#                 growth": some; QUICK=1: a smoke test; AWS=PROGRAM, FAISS=FOLDER: further peers)
#   make clean    remove .venv and caches
#
# PYTHON=/path/to/python3.12 chooses the interpreter; the first of 3.11, 3.12, 3.13 is the default.
# torch comes from whatever package index pip is set up with: let that be one with a CPU build on a
# machine without a GPU.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv demo test check faults image cluster-test bench bench-arguments clean

BIN := .venv/bin
STAMP := .venv/.installed
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
	$$p -c '$(RECENT)' 2>/dev/null && command -v $$p && break; done)
STORE ?= file://runs/demo
SEED ?= 0
PARTS ?=
VARIANT ?= cpu
TAG ?= localhost/xtransfer:0.1.0-$(VARIANT)
BASE ?=
ENCODER ?=
DATA ?=
QUICK ?=
AWS ?=
FAISS ?=
# Those of WITH_DATA take --encoder, --data and --quick; the others need neither and are left out of QUICK=1.
WITH_DATA := training levers prediction sizes grid growth
OTHERS := every_task safety knn search averaging estimates trials
BENCHES ?= $(WITH_DATA) $(if $(QUICK),,$(OTHERS))
BENCH_OPTIONS := --encoder '$(ENCODER)' --data '$(DATA)'
$(foreach each,$(WITH_DATA),$(eval options-$(each) := $(BENCH_OPTIONS) $(if $(QUICK),--quick)))
options-sizes += $(if $(AWS),--aws '$(AWS)')
options-every_task := $(BENCH_OPTIONS)
options-gpu := $(BENCH_OPTIONS) $(if $(QUICK),--quick --device cpu)
options-safety := --encoder '$(ENCODER)' --save
options-knn := $(if $(FAISS),--faiss '$(FAISS)') --save

help:
	@sed -n '3,15s/^# \{0,1\}//p' Makefile

venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n '$(PYTHON)' \
	  || { echo 'No Python 3.11 or newer found. Install it, or set PYTHON=/path/to/python3.11' >&2; exit 1; }
	@'$(PYTHON)' -c '$(RECENT)' \
	  || { echo '$(PYTHON) is older than 3.11 or does not run. Set PYTHON=/path/to/python3.11' >&2; \
	       exit 1; }
	@'$(PYTHON)' -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo '$(PYTHON) has no venv module. Install it (Debian: apt install python3-venv).' >&2; \
	       exit 1; }
	@echo 'Building .venv with $(PYTHON): about 2 GB and three minutes, once.'
	@'$(PYTHON)' -m venv .venv \
	  || { echo 'Building .venv failed. Try again after: make clean' >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --no-input --disable-pip-version-check \
	  -c constraints.txt -e '.[dev]' \
	  || { echo 'Installing failed: see the message above. Running make again continues.' >&2; \
	       exit 1; }
	@touch $@
	@echo 'Built .venv.'

demo: $(STAMP)
	@echo 'Running configs/quickstart.yaml into $(STORE); what has a record there is not run again.'
	@$(BIN)/xtransfer run configs/quickstart.yaml --store '$(STORE)'

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	OMP_NUM_THREADS="$${OMP_NUM_THREADS:-1}" $(BIN)/python -m pytest -q -n 3

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

faults: $(STAMP)
	$(if $(PARTS),,OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --slowest)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(PARTS) --seed $(SEED)

image:
	@test -n '$(PYTHON)' || { echo 'No Python 3.11 or newer found.' >&2; exit 1; }
	'$(PYTHON)' k8s/image/build.py --variant '$(VARIANT)' --tag '$(TAG)' $(if $(BASE),--base '$(BASE)')

cluster-test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.containers --image '$(TAG)'

bench-arguments:
	@test -f '$(ENCODER)/config.json' \
	  || { echo 'make bench: ENCODER="$(ENCODER)" holds no config.json. Give the folder of an encoder: make' \
	            'bench ENCODER=FOLDER DATA=FOLDER' >&2; exit 1; }
	@test -d '$(DATA)/mnli' \
	  || { echo 'make bench: DATA="$(DATA)" holds no mnli/. Give the folder of the tasks'"'"' files: make' \
	            'bench ENCODER=FOLDER DATA=FOLDER' >&2; exit 1; }
	@for each in $(BENCHES); do test -f "tests/benchmarks/$$each.py" \
	  || { echo "make bench: there is no tests/benchmarks/$$each.py. BENCHES may name:" \
	            '$(WITH_DATA) $(OTHERS)' >&2; exit 1; }; done

bench: bench-arguments $(STAMP)
	@failed=''; \
	$(foreach each,$(BENCHES),echo '--- $(each)'; \
	  $(BIN)/python -m tests.benchmarks.$(each) $(options-$(each)) || failed="$$failed $(each)";) \
	test -z "$$failed" || { echo "make bench: failed:$$failed" >&2; exit 1; }

# Results under runs/ are kept: they are expensive.
clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
