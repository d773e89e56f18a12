# The whole interface of the checkout; CI runs the same targets. `make` lists them.
# Paths are relative, so that a checkout in a folder with spaces works; ARGS goes to the command behind a target.

PYTHON_IN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: clients help run test check format docs lock up down logs faults growing alerts sim fuzz mutants bench install system release digest clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

run: ## Run livecomments, embedded, on http://127.0.0.1:8080 (ARGS="--port 8090")
	@sh requirements/install.sh run && exec .venv/bin/livecomments run $(ARGS)

test: system install ## Run every test, starting the servers they need (ARGS="-k follower -x")
	@$(PYTHON_IN) -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(if $(CI),--durations=25) $(ARGS)

# Where tests are chosen, whoever chose them knows what they need.
system:
	@sh requirements/system.sh $(if $(ARGS),tell)

check: install ## Lint, look at the format, and type-check
	$(PYTHON_IN) -m ruff check .
	$(PYTHON_IN) -m ruff format --check .
	$(PYTHON_IN) -m mypy

format: install ## Format the code and apply the linter's safe fixes
	$(PYTHON_IN) -m ruff format .
	$(PYTHON_IN) -m ruff check --fix .

docs: install ## Write the tables of the pages, the dashboards of the chart and the contract of the topics anew
	@$(PYTHON_IN) -m tests.docs_tables
	@$(PYTHON_IN) -m infra.dashboards
	@$(PYTHON_IN) -m infra.asyncapi

clients: ## Build and test the clients in other languages (clients/js: node and npm), and write what the gateway serves of them
	cd clients/js && npm ci --no-audit --no-fund --ignore-scripts && node build.mjs --write && npm run check && npm test && npm run packed

lock: ## Solve requirements/*.lock anew from pyproject.toml (ARGS=--upgrade for newer versions)
	@sh requirements/lock.sh $(ARGS)

up: install ## Run all of it, distributed, on http://127.0.0.1:8080: real Kafka and Cassandra too (ARGS="--port 8090")
	@$(PYTHON_IN) -m infra.local up $(ARGS)

down: install ## Stop what `make up` started; its comments stay
	@$(PYTHON_IN) -m infra.local down $(ARGS)

logs: ## Follow what the processes of `make up` log
	@ls .run/*/server.log >/dev/null 2>&1 || { echo "Nothing was started here: make up"; exit 1; }
	@tail -n 50 -F .run/*/server.log

faults: install ## Kill every process of a deployment of its own in turn, under load, also while it grows, and check what was promised
	@$(PYTHON_IN) -m chaos faults $(ARGS)

growing: install ## Double the partitions on three brokers, again and again, under load (ARGS="--hurt leader --hurt edge-1")
	@$(PYTHON_IN) -m chaos grow $(ARGS)

alerts: install ## Hurt a deployment of its own while Debian's Prometheus watches it, and say which alerts fired, and when
	@$(PYTHON_IN) -m chaos alerts $(ARGS)

sim: install ## Run seeded schedules of all that may happen to an edge (ARGS="--seeds 100000 --start 5000")
	@$(PYTHON_IN) -m tests.consumers.sim $(ARGS)

fuzz: install ## Send the server messages that nobody thought of, for a time (ARGS="--seconds 600")
	@$(PYTHON_IN) -m tests.web.fuzz $(ARGS)

mutants: install ## Mutate schemas and samples of four rooms, and say which mutants no test notices (ARGS="log epochs"; two hours for all)
	@sh requirements/mutants.sh $(ARGS)

bench: install ## Measure: fanout, latency, resume, slow, videos, scale, crowd, homes, post, parsers, door, page, persist, exports, replays, codecs or history (ARGS="fanout --viewers 1000")
	@$(PYTHON_IN) -m bench.$(ARGS)

install: ## Put the checkout and all its tools into .venv
	@sh requirements/install.sh dev

release: install ## Make wheel, npm package, chart, image context, SBOM and checksums of this commit into dist/ (ARGS=--draft to try)
	@$(PYTHON_IN) -m infra.release $(ARGS)

digest: ## Say which base image the Dockerfile's tag stands for today, by its digest (docker): --build-arg BASE=…
	@base=$$(sed -n 's/^ARG BASE=//p' Dockerfile) && printf '%s@%s\n' "$${base%:*}" \
		"$$(docker buildx imagetools inspect "$$base" --format '{{.Manifest.Digest}}')"

clean: ## Remove .venv, caches, and what `make up` started with its comments; data/ stays
	@[ -z "$$(ls .run/*/server.pid 2>/dev/null)" ] || $(PYTHON_IN) -m infra.local down
	rm -rf .venv .run build dist clients/js/dist clients/js/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +
