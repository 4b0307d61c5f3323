PYTHON ?= python3
VENV := .venv
JUDGES := .venv-judges
BIN := $(VENV)/bin
COMPOSE := docker compose
COMPOSE_POSTGRES := $(COMPOSE) -f docker-compose.yml -f deploy/compose.postgres.yml
UP_OPTIONS := --build --detach --wait
# Until nginx has found the app.
REACHED := exec -T nginx curl --silent --fail --max-time 5 --retry 60 --retry-delay 1 --retry-all-errors --noproxy '*' \
  --output /dev/null http://127.0.0.1:8080/health/live
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

# Tests wait for servers more than they compute.
TEST_WORKERS := $(shell $(PYTHON) -c 'import os; print(3 * os.cpu_count())')

.DEFAULT_GOAL := help
.PHONY: help install install-dev install-ha run test newcomer faults attack fuzz judges provider-pages test-ha test-containers test-containers-ha fuzz-contract bench bench-report bench-reads bench-nodes lint format lock vendor screenshots up up-postgres up-ha down-ha rolling-restart logs down destroy

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

install: $(VENV)/installed ## Make .venv with the service and what it needs

install-dev: $(VENV)/installed-dev ## The same with what tests and lint need

install-ha: $(VENV)/installed-ha ## The same with Patroni

$(VENV)/installed: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --require-hashes -r requirements.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.txt $(VENV)/installed
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

$(VENV)/installed-ha: deploy/ha/requirements.txt $(VENV)/installed-dev
	@$(PIP_INSTALL) --require-hashes -r deploy/ha/requirements.txt
	@touch $@

run: install ## Serve on 127.0.0.1:8000 from SQLite in data/
	@deploy/write-secrets.sh .env WEBHOOK_SECRET
	@bind=$${BIND:-$$(sed -n 's/^BIND=//p' .env)}; \
	  printf '\n%s\n%s\n\n' "$(BIN)/webhook-service send --text 'Hello'" "curl http://$${bind:-127.0.0.1:8000}/messages"
	@exec $(BIN)/webhook-service serve --migrate

test: install-dev ## The whole suite but what needs containers or a cluster
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(TEST_WORKERS) --dist worksteal -m 'not containers and not ha'

newcomer: ## The blocks of README and tour from a clean clone, and how long each takes (port 8000 has to be free)
	@$(PYTHON) -m tests.newcomer

faults: CYCLES = 20
faults: install-dev ## What kills, fills and cuts, in CYCLES=20 rounds
	@FAULT_CYCLES=$(CYCLES) $(BIN)/pytest -n auto --timeout 0 tests/faults

attack: SECONDS = 30
attack: install-dev ## Hostile clients beside good senders, SECONDS=30 of each kind
	@ATTACK_SECONDS=$(SECONDS) $(BIN)/pytest --timeout 0 tests/attacks

fuzz: EXAMPLES = 500
fuzz: SECONDS = 60
fuzz: REQUESTS = 1000000
fuzz: FUZZ_SECONDS = 300
fuzz: install-dev ## EXAMPLES=500 chains of calls, SECONDS=60 for each reader of bytes, REQUESTS=1000000 over sockets
	@FUZZ_EXAMPLES=$(EXAMPLES) FUZZ_TARGET_SECONDS=$(SECONDS) FUZZ_REQUESTS=$(REQUESTS) FUZZ_SECONDS=$(FUZZ_SECONDS) \
	  $(BIN)/pytest -n auto --timeout 0 --durations 0 tests/fuzz

test-ha: CYCLES = 1
test-ha: install-ha ## Three nodes under Patroni whose leader is lost in every way, CYCLES=1 times (needs root and etcd)
	@HA_CYCLES=$(CYCLES) $(BIN)/pytest --timeout 300 -m ha tests/ha

judges: $(JUDGES)/installed ## The presets before the providers' own SDKs, which also sign what the suite checks
	@$(JUDGES)/bin/python -m pytest --noconftest -o filterwarnings=default tests/judges/judge_presets.py

$(JUDGES)/installed: requirements-judges.txt
	@test -x $(JUDGES)/bin/python || $(PYTHON) -m venv $(JUDGES)
	@$(JUDGES)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-judges.txt
	@touch $@

test-containers: install-dev ## What needs a Docker daemon
	@$(BIN)/pytest -m 'containers and not ha' tests/containers

test-containers-ha: install-dev ## Ten containers of the service and PostgreSQL under Patroni, whose leader is killed (some minutes)
	@$(BIN)/pytest -m 'containers and ha' tests/containers

fuzz-contract: FUZZ_SECONDS = 300
fuzz-contract: install-dev ## Schemathesis against the service on each database, for FUZZ_SECONDS=300 each
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/pytest -n 2 --timeout 0 tests/fuzz/test_contract.py

bench: install-dev ## What ingest does a second (needs wrk; BENCH=--quick for a short look)
	@$(BIN)/python -m $(if $(filter profile,$(BENCH)),benchmarks.profile $(filter-out profile,$(BENCH)),benchmarks.ingest $(BENCH))

bench-report: install-dev ## Put what bench wrote down into docs/performance.md and the plot
	@$(BIN)/python -m benchmarks.report

bench-reads: install-dev ## What reads cost, by number stored (BENCH='--messages 10000,100000 --databases sqlite')
	@$(BIN)/python -m benchmarks.reads $(BENCH)

bench-nodes: install-dev ## What a batch costs PostgreSQL, and what 1, 2 and 4 nodes do (needs wrk)
	@$(BIN)/python -m benchmarks.nodes $(BENCH)

lint: install-dev ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: install-dev ## Let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## Renew the locks (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --upgrade --extra bench --extra build --extra dev pyproject.toml --output-file requirements-dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --constraint requirements-dev.txt --extra build pyproject.toml --output-file requirements.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --upgrade --extra judges pyproject.toml --output-file requirements-judges.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --constraint requirements-dev.txt deploy/ha/requirements.in --output-file deploy/ha/requirements.txt

provider-pages: install-dev ## Make the pages of the presets anew
	@$(BIN)/python -m tests.providers.pages

vendor: ## Fetch the browser libraries of /docs and of the dashboard anew and check their hashes (needs npm)
	@deploy/vendor-rapidoc.sh
	@deploy/vendor.sh

screenshots: install-dev ## Take the pictures of the dashboard anew (needs Chromium)
	@$(BIN)/python -m tests.dashboard.screenshots

up: ## Serve from containers on port 8000, SQLite in a volume
	@deploy/write-secrets.sh .env WEBHOOK_SECRET API_TOKEN
	@deploy/write-secret-files.sh .env secrets
	@$(COMPOSE) up $(UP_OPTIONS) && $(COMPOSE) $(REACHED) || { $(COMPOSE) logs --tail 20; exit 1; }
	@deploy/print-next-steps.sh .env

up-postgres: ## The same on PostgreSQL
	@deploy/write-secrets.sh .env WEBHOOK_SECRET API_TOKEN POSTGRES_PASSWORD
	@deploy/write-secret-files.sh .env secrets
	@$(COMPOSE_POSTGRES) up $(UP_OPTIONS) && $(COMPOSE_POSTGRES) $(REACHED) || { $(COMPOSE_POSTGRES) logs --tail 20; exit 1; }
	@deploy/print-next-steps.sh .env

COMPOSE_HA := $(COMPOSE) -f deploy/ha/compose.yml
HA_SECRETS := WEBHOOK_SECRET API_TOKEN POSTGRES_PASSWORD SUPERUSER_PASSWORD REPLICATION_PASSWORD REWIND_PASSWORD RESTAPI_PASSWORD

up-ha: ## Two nodes of the service on three of PostgreSQL under Patroni
	@deploy/write-secrets.sh deploy/ha/.env $(HA_SECRETS)
	@deploy/ha/write-secret-files.sh deploy/ha/.env deploy/ha/secrets
	@$(COMPOSE_HA) up $(UP_OPTIONS) || { $(COMPOSE_HA) logs --tail 20; exit 1; }

down-ha: ## Stop those; the data stays
	@$(COMPOSE_HA) down --remove-orphans

rolling-restart: ## Replace the app's containers by new ones while deliveries go on
	@deploy/write-secret-files.sh .env secrets
	@deploy/rolling-restart.sh

logs: ## Follow the containers' logs
	@$(COMPOSE) logs --follow

down: ## Stop the containers; the data stays
	@$(COMPOSE) --profile forward down --remove-orphans

destroy: ## Stop the containers and delete all data in their volumes (CONFIRM=yes)
	@test "$(CONFIRM)" = yes || { echo 'this deletes every message: make destroy CONFIRM=yes'; exit 1; }
	@$(COMPOSE_POSTGRES) --profile forward down --remove-orphans --volumes
