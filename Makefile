# Two commands matter: `make audit` and `make test`. Both set up all they need. `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PY := .venv/bin/python
RUN := $(PY) -m keymuster.orchestration.runner
unexport PYTHONDONTWRITEBYTECODE
# Knobs: make audit FAIL_ON=high · make up PORT=8080 · make test ARGS='-k gate'
FAIL_ON ?=
PORT ?=
ARGS ?=
# Two processors suffice: one worker runs Airflow from end to end, the other all the rest.
WORKERS ?= -n auto --maxprocesses 4 --dist loadgroup

.PHONY: help
help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.runtime: requirements.lock .ci/setup
	@.ci/setup requirements.lock && touch $@

.venv/.dev: requirements-dev.lock .ci/setup
	@.ci/setup requirements-dev.lock && touch $@ .venv/.runtime

.PHONY: setup
setup: .venv/.runtime  ## make .venv ready

.PHONY: audit
audit: .venv/.runtime  ## audit this machine and the sample estate; FAIL_ON=high sets the exit code
	@$(PY) examples/estate/make.py --if-missing var/estates/sample
	@$(RUN) audit dags/estate.yaml var/estates/sample/estate.yaml $(if $(FAIL_ON),--fail-on $(FAIL_ON))

.PHONY: up
up: .venv/.runtime  ## start Airflow with its UI (shows the log-in); PORT=8080
	@$(RUN) up dags/estate.yaml $(wildcard var/estates/*/estate.yaml) $(if $(PORT),--port $(PORT))

.PHONY: down
down:  ## stop it, leaving no process
	@if [ -x $(PY) ]; then $(RUN) down; else echo "nothing is running: there is no .venv"; fi

.PHONY: test
test: .venv/.dev servers  ## all tests; with root and apt also those that need servers
	@$(PY) -m pytest $(WORKERS) $(ARGS)

.PHONY: servers
servers:
	@.ci/servers

.PHONY: coverage
coverage: .venv/.dev servers  ## all tests, with branch coverage
	@$(PY) -m coverage run -m pytest $(ARGS); status=$$?; $(PY) -m coverage combine -q; $(PY) -m coverage report; exit $$status

.PHONY: lint
lint: .venv/.dev  ## style, layers, types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && .venv/bin/lint-imports && $(PY) -m mypy

.PHONY: types
types: .venv/.dev  ## mypy alone
	@$(PY) -m mypy

.PHONY: bench
bench: .venv/.dev  ## speed and memory beside peers, in one run
	@$(PY) -m bench $(ARGS)

.PHONY: docs
docs: .venv/.dev  ## the documentation, below site/
	@$(PY) -m mkdocs build --strict -q && echo "site/index.html"

.PHONY: golden
golden: .venv/.dev  ## rewrite the golden files of the tests; review the diff
	@KEYMUSTER_GOLDEN=1 $(PY) -m pytest -q -k golden

.PHONY: lock
lock: .venv/.dev  ## resolve the lock files anew
	@.venv/bin/uv pip compile -q --generate-hashes --no-annotate --no-header --python-version 3.11 pyproject.toml -o requirements.lock
	@.venv/bin/uv pip compile -q --generate-hashes --no-annotate --no-header --python-version 3.11 -c requirements.lock pyproject.toml --group dev -o requirements-dev.lock

.PHONY: wheel
wheel: .venv/.dev  ## a wheel below dist/, with checks/ and reports/ inside
	@.venv/bin/uv build -q --wheel && ls dist/*.whl

.PHONY: clean
clean: down  ## remove what runs left behind; keeps .venv
	@rm -rf var site dist .coverage* htmlcov
