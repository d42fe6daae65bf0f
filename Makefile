# One definition of every step: people, hooks and CI call these targets.
SHELL := /bin/bash
# A step fails with whatever it is made of, the first part of a pipe too.
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
STAMP := $(VENV)/.installed-$(shell cksum requirements.lock pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)
CODE := __main__.py autoscaler bench cli components contracts localcloud operations ossa providers stacks tools

.DEFAULT_GOAL := help
.PHONY: help venv up down demo status cluster test check lint types arch tests coverage faults bench-engine bench-up bench-fleet bench-burst bench-idle bench-nas bench-agents soak docs lock clean

help: ## Show what there is
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(STAMP) ## Set up the Python environment alone

up: $(STAMP) ## Bring the local profile up: engine, local cloud, pulumi up, healthy machines
	@$(BIN)/agent-docker up $(UP_FLAGS)

demo: $(STAMP) ## Push a burst of 500 jobs and watch the fleet follow it
	@$(BIN)/agent-docker demo --figures build/figures/demo.json

status: $(STAMP) ## Show slots, machines, prices and which endpoints answer
	@$(BIN)/agent-docker status

down: $(STAMP) ## End everything of the local profile
	@$(BIN)/agent-docker down

cluster: $(STAMP) ## Build and start a real Kubernetes control plane; prints its kubeconfig
	@$(BIN)/python -m tools.cluster start

test: check tests ## Every check and every tier of tests: what CI runs

check: lint types arch ## Style, types and architecture

lint: $(STAMP)
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/shellcheck $$(git ls-files '*.sh' 'tools/engine/plugins/*' 'localcloud/plugins/bin/*' .ci/run)
	@$(BIN)/deptry . 2>&1 | tail -n 1

types: $(STAMP)
	@echo "== types"
	@$(BIN)/mypy $(CODE)
	@$(BIN)/basedpyright --level error

arch: $(STAMP)
	@echo "== architecture"
	@$(BIN)/lint-imports --no-cache | tail -n 4

tests: $(STAMP) engine ## Every tier, with coverage
	@$(BIN)/python -m tools.cluster build >/dev/null || [ -z "$$CI" ]
	@echo "== tests"
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest tests
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=90
	@$(BIN)/coverage report --include='contracts/*,ossa/*,providers/vastai/offers.py' --fail-under=100 | tail -n 1

.PHONY: engine
engine: $(STAMP)
	@$(BIN)/python -m tools.engine install

faults: $(STAMP) ## Cut every point of create and destroy, recover, count what was lost
	@$(BIN)/python -m bench.faults

bench-engine: $(STAMP) ## The engine's cost beside a minimal program's, and 1, 10, 100 machines
	@$(BIN)/python -m bench.engine

bench-up: $(STAMP) ## How long `make up` takes with a warm cache
	@$(BIN)/python -m bench.up

bench-fleet: $(STAMP) ## Scaling policies on request traces, beside fixed fleets
	@$(BIN)/python -m bench.fleet

bench-burst: $(STAMP) ## From a decision to rented machines, 20 bursts; beside it the plan's algorithm
	@$(BIN)/python -m bench.burst

bench-idle: $(STAMP) ## What an autoscaler costs that has nothing to do
	@$(BIN)/python -m bench.idle

bench-nas: $(STAMP) engine ## The nas stack's cost beside a minimal program's
	@$(BIN)/python -m bench.nas

bench-agents: $(STAMP) engine ## 100 agents beside kubectl, and 20 stacks at once
	@$(BIN)/python -m bench.agents

soak: $(STAMP) ## 1,000 updates in a row: what grows
	@$(BIN)/python -m bench.soak

docs: $(STAMP) ## Write the generated parts of the documentation
	@$(BIN)/python -m cli.documentation

lock: $(STAMP) ## Compile the lock files anew
	@$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11.0 pyproject.toml --extra dev -o requirements.lock
	@$(BIN)/uv pip compile -q --generate-hashes --no-emit-index-url --no-header --python-version 3.11.0 pyproject.toml -o requirements-runtime.lock

clean: ## Remove what was built; the engine's cache stays
	rm -rf $(VENV) build .coverage*

# The stamp is written last: an interrupted install is done again.
$(STAMP): requirements.lock pyproject.toml
	@echo "setting up $(VENV) (about 20 s)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --config-settings editable_mode=compat -e .
	@rm -f $(VENV)/.installed-*
	@touch $@
