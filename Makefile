# Everything that is made lies in .local. Stamp files bear checksums in their names: an environment is updated when the
# content of its lock file changes, and all are made again when the folder was moved, or Python or uv is another one.

# The environment's own Python once there is one: PYTHON=... is needed the first time only.
PYTHON ?= $(or $(wildcard $(PY)),python3)
UPSTREAM ?= sample
WORKERS ?= 2
N ?= 1000 10000
# Generated images have a prefix of their own, which Airflow's web server must know as well as the workers.
SAMPLE_PREFIX = $(if $(filter sample,$(UPSTREAM)),CXR_PREFIX=$${CXR_PREFIX:-covid-cxr-sample} )
COMPOSE = $(SAMPLE_PREFIX)docker compose --project-name cxr-$(UPSTREAM) --profile $(UPSTREAM)

VENV := .local/venv
STORE_VENV := .local/ministack-venv
TOOLS_VENV := .local/consumers-venv
COMPARE_VENV := .local/compare-venv
MOTO_VENV := .local/moto-venv
PREDICTOR_VENV := .local/predictor-venv
PY := $(VENV)/bin/python

stamp = $(shell $(1) | cksum | tr -d ' ')
WHICH_PYTHON := -I -c 'import os, sys; print(os.path.realpath(sys.executable), sys.version)' 2>/dev/null
VENV_READY := $(VENV)/.made-$(call stamp,{ pwd -P; $(PYTHON) $(WHICH_PYTHON); cat requirements-uv.txt; })
RUN_READY := $(VENV)/.synced-$(call stamp,cat requirements.txt)
DEV_READY := $(VENV)/.synced-$(call stamp,cat requirements.txt requirements-dev.txt)
STORE_READY := $(STORE_VENV)/.synced-$(call stamp,cat requirements-ministack.txt)
TOOLS_READY := $(TOOLS_VENV)/.synced-$(call stamp,cat requirements-consumers.txt)
COMPARE_READY := $(COMPARE_VENV)/.synced-$(call stamp,cat requirements-compare.txt)
MOTO_READY := $(MOTO_VENV)/.synced-$(call stamp,cat requirements-moto.txt)
PREDICTOR_READY := $(PREDICTOR_VENV)/.synced-$(call stamp,cat requirements-predictor.txt)
SYNC := $(PY) -m uv pip sync --quiet --system-certs --compile-bytecode --require-hashes --python
PYTEST := $(PY) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --ignore tests/distributed

# A lock file holds the newest versions of its day; `make lock` on another day gives the same files.
DAY := 2026-09-18T00:00:00Z
DAY_OF_TOOLS := 2026-11-20T00:00:00Z
LOCK := $(PY) -m uv pip compile --quiet --system-certs --upgrade --universal --python-version 3.11 --generate-hashes \
  --custom-compile-command 'make lock' --exclude-newer

APT_INSTALL := apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
SERVERS := postgresql redis-server
TORCHVISION := python3-torchvision python3-pandas
HAS_TORCHVISION := /usr/bin/python3 -c 'import pandas, torchvision'
HAS_SERVERS := command -v redis-server && ls /usr/lib/postgresql/*/bin/initdb

export PYTHONPATH := $(CURDIR)/include
export PYTHONUNBUFFERED := 1
# Whatever the locale: Airflow does not start where Python reads files in Latin-1.
export PYTHONUTF8 := 1
# Airflow takes two more seconds to start each time without compiled files.
unexport PYTHONDONTWRITEBYTECODE PYTHONHOME VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help run ui advance download cxr predictor test test-all test-distributed test-stores fuzz lint lock bench bench-scale bench-real secrets up down logs clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

run: $(RUN_READY) $(STORE_READY) ## publish a snapshot now; ADVANCE=1 gives the sample a new commit first, UPSTREAM=live asks GitHub and Kaggle, VERBOSE=1 tells more
	@$(PY) -m local_stack run --upstream $(UPSTREAM) $(if $(ADVANCE),--advance)

ui: $(RUN_READY) $(STORE_READY) ## run Airflow in the browser until Ctrl-C; PORT=8081 chooses the port, UPSTREAM=live as above
	@$(PY) -m local_stack ui --upstream $(UPSTREAM) $(if $(PORT),--port $(PORT))

advance: $(RUN_READY) ## give the generated sample a new commit, also while `make ui` runs
	@$(PY) -m local_stack advance --upstream $(UPSTREAM)

download: $(RUN_READY) $(STORE_READY) ## copy the latest snapshot to .local/snapshots, or to TO=folder; EDITION=adults for another edition, UPSTREAM=live as above
	@$(PY) -m local_stack download --upstream $(UPSTREAM) $(if $(EDITION),--edition $(EDITION)) $(if $(TO),--to "$(TO)")

cxr: $(RUN_READY) $(STORE_READY) ## look at the snapshots: ARGS="list", "show latest", "diff OLD NEW", "verify latest", ...; UPSTREAM=live as above
	@$(PY) -m local_stack cxr --upstream $(UPSTREAM) $(ARGS)

predictor: $(RUN_READY) $(STORE_READY) $(PREDICTOR_READY) ## train a model on the latest snapshot; JUDGES=... names another snapshot that judges it, UPSTREAM=live as above
	@$(PY) -m local_stack predictor --upstream $(UPSTREAM) $(if $(JUDGES),--judges $(JUDGES))

test: $(DEV_READY) $(STORE_READY) ## run the tests that tell whether a change is right; ARGS="-k name" is passed on to pytest
	@$(PYTEST) -m "not long" --hypothesis-profile few --ignore tests/consumers --ignore tests/browser --ignore tests/predictor $(ARGS)

test-all: $(DEV_READY) $(STORE_READY) $(TOOLS_READY) $(PREDICTOR_READY) ## run every test there is, with consumers' tools, a browser, test-distributed and fuzz
	@command -v chromium >/dev/null || [ -z "$$CI" ] || { $(APT_INSTALL) chromium fonts-dejavu-core; }
	@$(HAS_TORCHVISION) 2>/dev/null || [ -z "$$CI" ] || { $(APT_INSTALL) $(TORCHVISION); }
	@$(PYTEST) $(ARGS)
	@$(MAKE) --no-print-directory fuzz test-distributed ARGS=

test-distributed: $(DEV_READY) $(STORE_READY) ## run the DAG on two Celery workers and kill one; needs postgresql and redis-server
	@{ $(HAS_SERVERS); } >/dev/null 2>&1 || [ -z "$$CI" ] || { $(APT_INSTALL) $(SERVERS); }
	@{ $(HAS_SERVERS); } >/dev/null 2>&1 || { \
	  echo "This needs PostgreSQL and Redis. As root on Debian or Ubuntu: apt-get install $(SERVERS)" >&2; exit 1; }
	@$(PY) -m pytest tests/distributed

test-stores: $(DEV_READY) $(STORE_READY) $(MOTO_READY) ## run the tests of storage and publishing against S3 servers of several makers; needs Ceph, ARGS="--store moto" names one
	@PYTHONPATH=include:tests $(PY) -m stores $(ARGS)

fuzz: $(DEV_READY) ## throw 10,000 damaged inputs of each kind at what reads them: metadata, images, answers, archives, names
	@PYTHONPATH=include:tests $(PY) -m fuzz $(ARGS)

lint: $(DEV_READY) ## check style, types and who imports whom
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@PYTHONPATH=include:plugins $(VENV)/bin/lint-imports --no-cache --no-logo

lock: $(VENV_READY) ## make all lock files anew from requirements*.in
	@$(LOCK) $(DAY) requirements.in --output-file requirements.txt
	@$(LOCK) $(DAY) requirements-distributed.in --constraints requirements.txt --output-file requirements-distributed.txt
	@$(LOCK) $(DAY) requirements-dev.in --constraints requirements-distributed.txt --output-file requirements-dev.txt
	@$(LOCK) $(DAY) requirements-predictor.in --constraints requirements.txt --output-file requirements-predictor.txt
	@for name in consumers compare; do \
	  $(LOCK) $(DAY) requirements-$$name.in --output-file requirements-$$name.txt || exit; done
	@for name in ministack moto uv; do \
	  $(LOCK) $(DAY_OF_TOOLS) requirements-$$name.in --output-file requirements-$$name.txt || exit; done

bench: $(DEV_READY) $(STORE_READY) $(if $(filter compare network one_request,$(ARGS)),$(COMPARE_READY)) ## measure speed and memory; ARGS=parse names one benchmark
	@$(PY) tests/bench/run.py $(ARGS)

bench-scale: $(DEV_READY) $(STORE_READY) ## run the whole pipeline over N generated images and measure it; N="1000 10000" is the default
	@PYTHONPATH=include:tests $(PY) -m bench.scale $(N) --out .local/bench-scale

bench-real: $(DEV_READY) $(STORE_READY) ## the same over as many images, and as large, as the two collections have; needs 8 GB of disk
	@PYTHONPATH=include:tests $(PY) -m bench.scale --real --out .local/bench-real

secrets: ## write .env with random passwords for `make up`
	@$(PYTHON) -m local_stack.env_file

up: ## run Airflow in containers; WORKERS=4 for more workers, UPSTREAM=live as above
	@test -f .env || { echo "Run make secrets first." >&2; exit 1; }
	$(COMPOSE) up --build --detach --scale worker-$(UPSTREAM)=$(WORKERS)

down: ## stop the containers; data stays
	$(COMPOSE) down

logs: ## follow the containers' logs
	$(COMPOSE) logs --follow --tail 100

clean: ## delete .local: environments, logs, the sample upstream, and every snapshot of the local store
	rm -rf .local .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV_READY):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  found=$$($(PYTHON) -V 2>&1) || found='not there'; \
	  echo "This needs Python 3.11, 3.12 or 3.13, but $(PYTHON) is $$found. Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
	  exit 1; }
	@echo "Installing into .local; the first time takes a minute or two ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-uv.txt
	@touch $@

# What is made again makes again all that stands below: to make $(VENV) again deletes what was in it.
$(RUN_READY): $(VENV_READY)
	@rm -f $(VENV)/.synced-*
	@$(SYNC) $(PY) requirements.txt
	@cp include/local_stack/cxr.sh $(VENV)/bin/cxr
	@touch $@

# requirements-dev.txt holds all of requirements.txt: what `make run` needs stays as it is.
$(DEV_READY): $(RUN_READY)
	@$(SYNC) $(PY) requirements-dev.txt
	@touch $@

# Programs whose dependencies do not fit Airflow's, or are large: the S3 server, the tools of those who read snapshots,
# what the predictor is trained with, other ways to load images and to ask the store that `make bench` measures, and another S3
# server for `make test-stores`.
$(STORE_READY): VENV_OF = $(STORE_VENV)
$(STORE_READY): LOCK_OF = requirements-ministack.txt
$(TOOLS_READY): VENV_OF = $(TOOLS_VENV)
$(TOOLS_READY): LOCK_OF = requirements-consumers.txt
$(COMPARE_READY): VENV_OF = $(COMPARE_VENV)
$(COMPARE_READY): LOCK_OF = requirements-compare.txt
$(MOTO_READY): VENV_OF = $(MOTO_VENV)
$(MOTO_READY): LOCK_OF = requirements-moto.txt
$(PREDICTOR_READY): VENV_OF = $(PREDICTOR_VENV)
$(PREDICTOR_READY): LOCK_OF = requirements-predictor.txt
$(STORE_READY) $(TOOLS_READY) $(COMPARE_READY) $(MOTO_READY) $(PREDICTOR_READY): $(VENV_READY)
	@$(PY) -m venv --clear --without-pip $(VENV_OF)
	@$(SYNC) $(VENV_OF)/bin/python $(LOCK_OF)
	@touch $@
