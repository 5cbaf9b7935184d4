# Targets explain themselves: `make` lists them.

PYTEST = .venv/bin/pytest
# Many tests wait: for a deadline, a process, a browser. What is shared by the tests of a file is made once.
PARALLEL = -n 3 --dist loadfile
CODE = farm fixtures tests scripts docker bench

.DEFAULT_GOAL := help
.PHONY: help setup run screens test test-all test-servers check bench bench-against bench-agreement bench-density bench-detect bench-frontier bench-migration bench-processes bench-readme bench-recall bench-scrape bench-sinks bench-throttle bench-egress bench-extraction mutate sim soak profile lock prove clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## install what is missing: .venv, the packages, a browser, Redis (run again, it only checks)
	@scripts/setup.sh

run: setup  ## crawl the demo shop with the live view
	@.venv/bin/python scripts/demo.py

test: check test-servers  ## everything that a change must pass (TESTS="tests/scope": only these)
	$(PYTEST) -m "not slow" $(PARALLEL) $(TESTS)

test-all: check test-servers  ## the same and all slow tests: real time, faults, processes killed
	$(PYTEST)

test-servers:  ## install the servers that only tests need: PostgreSQL, Prometheus
	@scripts/setup.sh tests

check: setup  ## lint, types, import contracts, links in the documents
	.venv/bin/ruff check $(CODE)
	.venv/bin/ruff format --check $(CODE)
	.venv/bin/mypy
	.venv/bin/mypy scripts docker
	.venv/bin/lint-imports
	.venv/bin/python scripts/check_links.py

screens: setup  ## pictures of the view and the web page under docs/, of a real crawl by two nodes (two minutes)
	@PYTHONPATH=. .venv/bin/python scripts/screens.py

bench: setup  ## compare with crawlee, crawl4ai, scrapy-playwright, puppeteer-cluster and raw CDP (ARGS="--rounds 1")
	@.venv/bin/python -m bench $(ARGS)

bench-against: setup  ## the farm's own CPU a page against another revision, in pairs (BASE=HEAD~1 ARGS="--pairs 4")
	@.venv/bin/python -m bench.against $(or $(BASE),HEAD~1) $(ARGS)

bench-frontier: setup  ## what a lease costs in Redis, next to an empty script; a storm of kills (ARGS="--small"; ARGS=--sizes: by the size of the crawl)
	@.venv/bin/python -m bench.frontier $(ARGS)
	@$(PYTEST) -q -s -m slow -k storm_of_kills tests/frontier/test_storm.py

bench-throttle: setup  ## politeness by the sites' own journal: rates, shares, hidden limits (ARGS="rate knee")
	@.venv/bin/python -m bench.throttle $(ARGS)

bench-egress: setup  ## throughput of the gateway, and the cost of a page through ten real proxies (ARGS="--only gateway")
	@.venv/bin/python -m bench.egress $(ARGS)

bench-extraction: setup  ## the cost of reading pages, also on the event loop (ARGS="loop"; ARGS="cost --only fields")
	@.venv/bin/python -m bench.extraction $(ARGS)

bench-migration: setup  ## run the programs of docs/migration.md on the demo shop, whole and killed (ARGS="farm crawlee")
	@.venv/bin/python -m bench.migration $(ARGS)

bench-processes: setup  ## the farm's own CPU a page with 1, 2 and 4 processes at equal contexts (ARGS="--rounds 4")
	@.venv/bin/python -m bench.processes $(ARGS)

bench-readme: setup  ## write the results of the last complete `make bench` into README.md, docs/migration.md and docs/bench.svg
	@.venv/bin/python -m bench.readme $(ARGS)

bench-scrape: setup  ## what a scrape of the metrics costs at a million queued URLs on 20,000 sites (ARGS="--urls 100000")
	@.venv/bin/python -m bench.scrape $(ARGS)

bench-sinks: test-servers  ## what each sink costs beside pages.jsonl, in rounds (ARGS="--rounds 4"; ARGS=--commits: the time of commits)
	@.venv/bin/python -m bench.sinks $(ARGS)

bench-agreement: setup  ## every page that `--render auto` records otherwise than the browser (ARGS="--sites server")
	@.venv/bin/python -m bench.agreement $(ARGS)

bench-density: setup  ## how many contexts a gibibyte holds, by renderer (ARGS="--contexts light=200")
	@.venv/bin/python -m bench.density $(ARGS)

bench-recall: setup  ## what is found of late content and of real applications, against a reference that waits 10 s
	@.venv/bin/python -m bench.recall $(ARGS)

bench-detect: setup  ## how many of about 950 real pages are mistaken for a block: none may be
	@.venv/bin/python -m bench.detect

mutate: setup  ## break the frontier's scripts one by one: each break must make a test fail
	@.venv/bin/python scripts/mutate.py

sim: setup  ## simulate farms of many nodes: where the first limit is (ARGS=--check: beside real runs; ARGS=--leases: 4,000 contexts on a real Redis)
	@.venv/bin/python -m bench.scale $(ARGS)

soak: setup  ## forty contexts on hostile, leaking pages for ten minutes (SOAK=24h: longer; ARGS="--kill-every 5")
	@.venv/bin/python -m bench.soak $(ARGS)

profile: setup  ## where the farm's CPU goes, by kind of process
	@.venv/bin/python -m bench.profile $(ARGS)

lock:  ## update the lock files from pyproject.toml (UPGRADE=1: the newest versions of everything)
	@scripts/lock.sh $(if $(UPGRADE),--upgrade)

prove:  ## both commands of the README on bare Debian machines, as root (continues if interrupted; ARGS="trixie sudo units")
	@scripts/prove.sh $(ARGS)

clean:  ## remove generated files: .venv, caches, results, demo crawls
	rm -rf .venv .venv-distribution .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist .bench bench-results crawls
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
