# straightwire: `make run` and `make test` need nothing but Python 3.11 to 3.14.
#
#   PYTHON=python3.12   the interpreter; otherwise the newest that is found
#   VENV=.venv-3.12     the virtual environment, so that several interpreters can be tried

VENV ?= .venv
PYTHON ?=
UPSTREAM ?=
CONFIG ?=
FUZZ_SECONDS ?= 60
ENGINE ?= $(shell command -v docker || command -v podman || command -v buildah)
export PYTHON

bin := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test bench bench-quick soak fuzz format docs dist audit pins image clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-17s %s\n", $$1, $$2}'

run: ## start the proxy on 127.0.0.1:8081, before a demo LocalAI, or UPSTREAM=http://…, or with CONFIG=FILE
	@scripts/venv.sh $(VENV) run
ifneq ($(strip $(UPSTREAM)$(CONFIG)),)
	@$(bin)/straightwire serve $(if $(CONFIG),--config '$(CONFIG)') $(if $(UPSTREAM),--upstream '$(UPSTREAM)')
else
	@$(bin)/straightwire demo --serve
endif

test: ## lint, types, and all tests with branch coverage
	@scripts/venv.sh $(VENV) test
	$(bin)/ruff check .
	$(bin)/ruff format --check .
	$(bin)/mypy
	$(bin)/pytest --cov --numprocesses auto --dist worksteal

bench: ## what straightwire costs beside nginx, against its goals
	@scripts/venv.sh $(VENV) run
	@$(bin)/python -m bench --results build/bench.json
	@echo "kept in build/bench.json, drawn in build/bench.svg"

bench-quick: ## the same, shorter and rougher: under two minutes
	@scripts/venv.sh $(VENV) run
	@$(bin)/python -m bench --quick --rounds 3

fuzz: ## search for inputs that break what must not break, for FUZZ_SECONDS each; needs Python 3.11 to 3.13
	@scripts/venv.sh $(VENV) test
	@$(bin)/python -m pip --quiet install --constraint constraints.txt --no-build-isolation --editable '.[fuzz]'
	@$(bin)/python -m fuzz --seconds $(FUZZ_SECONDS)

format: ## put the code into its one layout, and mend what ruff can mend
	@scripts/venv.sh $(VENV) test
	$(bin)/ruff check --fix .
	$(bin)/ruff format .

docs: ## write what docs/repairs.md and README.md take from the code
	@scripts/venv.sh $(VENV) test
	$(bin)/python -m scripts.docs

soak: ## everything at once, for SOAK_MINUTES (10): memory, files and tasks have to stay flat
	@scripts/venv.sh $(VENV) test
	SOAK_MINUTES=$(or $(SOAK_MINUTES),10) $(bin)/pytest --numprocesses 0 -rP tests/load

dist: ## the wheel, the source distribution and a bill of materials (CycloneDX), into dist/
	@scripts/venv.sh $(VENV) test
	@scripts/venv.sh $(VENV)-run run
	rm -rf dist
	$(bin)/python -m build --no-isolation
	$(bin)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml \
		--output-file "dist/straightwire-$$($(bin)/python -c 'import proxy; print(proxy.__version__)').cdx.json" \
		$(VENV)-run/bin/python

audit: ## known vulnerabilities in the pinned versions, asked of PyPI itself
	@scripts/venv.sh $(VENV) test
	$(bin)/python -m pip --quiet install --constraint constraints.txt --no-build-isolation --editable '.[audit]'
	@scripts/audit.sh $(bin)/pip-audit

pins: ## resolve constraints.txt and requirements.lock anew, on the oldest Python that is supported
	python3.11 -m venv --clear .venv-pins
	.venv-pins/bin/python -m pip install --quiet setuptools
	.venv-pins/bin/python -m pip install --quiet --no-build-isolation --editable '.[dev,audit,fuzz]'
	sed '/^[^#]/d' constraints.txt >.venv-pins/constraints.txt
	.venv-pins/bin/python -m pip freeze --all --exclude-editable | sed '/^pip==/d' >>.venv-pins/constraints.txt
	mv .venv-pins/constraints.txt constraints.txt
	sed '/^[^#]/d' requirements.lock >.venv-pins/requirements.lock
	.venv-pins/bin/python -m pip install --quiet 'pip-tools>=7.5'
	echo setuptools | .venv-pins/bin/pip-compile --quiet --no-config --allow-unsafe --generate-hashes --strip-extras \
		--no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--constraint constraints.txt --output-file - pyproject.toml - >>.venv-pins/requirements.lock
	mv .venv-pins/requirements.lock requirements.lock
	rm -rf .venv-pins

image: ## build the container image straightwire, with docker, podman or buildah, and tell what its parts weigh
	$(if $(ENGINE),,$(error there is no docker, podman or buildah here; install one, or name it: make image ENGINE=…))
	$(ENGINE) build $(if $(filter %buildah %podman,$(ENGINE)),--format docker) --tag straightwire \
		--build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' proxy/__init__.py)" .

clean: ## remove all that make and the tests have made
	rm -rf .venv .venv-* build dist *.egg-info .coverage .coverage.* htmlcov
	rm -rf bench/.build .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find proxy tests -name __pycache__ -type d -exec rm -rf {} +
