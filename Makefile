# Two commands for a fresh machine: `make demo` runs the main job, `make test` passes the tests.
PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
INSTALLED = $(VENV)/installed
COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate
LOCK = $(COMPILE) --constraint requirements/all.lock

CRD = crds/modeldeployments.fastchat.io.yaml
FLEET = tests/e2e/kubernetes/fleet
# Those of a cluster, and 500 streams of real workers.
FLEETS = $(FLEET) tests/integration/resuming/test_many_streams.py
# The fleets and the sources take long; `make test` has them.
KUBERNETES = tests/e2e/kubernetes --ignore=$(FLEET) --ignore=tests/e2e/kubernetes/test_sources.py
# What waits for API servers, clusters and images; what serves models; the gateway; what has no server of its own is all
# the rest, whatever folder is new among them.
WAITING = tests/e2e/kubernetes $(addprefix tests/integration/,chart cluster images operator)
SERVING = tests/integration/worker
GATEWAY = tests/integration/gateway
MACHINE = tests/e2e --ignore=tests/e2e/kubernetes
REST = tests --ignore=tests/e2e $(addprefix --ignore=,$(WAITING) $(SERVING) $(GATEWAY))
COMPILED = build/gateway
# What benchmarks write, and the pictures of it.
RESULTS = build/bench
# What steps of a model are computed by; without a C++ compiler torch does it.
NATIVE = images/worker/fastchat_worker/native/libfastchat_cpu.so
# How a stream adds up to the whole, for every form of calls, marks of reasoning and kind of tokenizer.
SPLITS = $(addprefix tests/unit/worker/,chat/test_reasoning.py chat/tools/test_declared.py chat/tools/test_forms.py \
	output/test_splits.py) tests/integration/worker/output/test_tokenizers.py
# One thread for each model: two that compute beside a cluster wait for each other more than they compute.
COMPUTES = OMP_NUM_THREADS=1 nice -n 5 $(BIN)/pytest
CLUSTER = PYTHONPATH=tests $(BIN)/python -m cluster
# Pages of docs/ that are generated; they look at metrics as tests do.
PAGES = PYTHONPATH=.ci:tests $(BIN)/python -m pages

BUILDER = $(if $(shell docker info >/dev/null 2>&1 && echo up),docker build,$(if \
	$(shell command -v podman),podman build,$(if $(shell command -v buildah),buildah bud --layers)))
BUILD_ARGS ?=
PARTS ?= operator gateway worker

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test compiler waiting serving machine rest gateway compiled native e2e e2e-cluster e2e-machine fleet fuzz lint images release gpu bench cluster cluster-down crds pages dashboard docs lock clean

help: ## what can be made
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(INSTALLED) native ## serve a language model and an embedding model here and ask them something
	@$(BIN)/python examples/demo.py

# Five groups, three at a time: that of what waits is the longest, and leaves room for two that compute.
test: $(INSTALLED) compiler native ## all tests, three groups of them at a time
	@$(BIN)/python .ci/lanes.py --at-once 3 waiting serving gateway rest machine

compiler: $(INSTALLED)
	@$(CLUSTER) compiler; code=$$?; test $$code = 77 || exit $$code

waiting: $(INSTALLED) ## the tests that wait: for API servers, clusters and images
	$(BIN)/pytest $(WAITING) -o cache_dir=.pytest_cache/waiting

serving: $(INSTALLED) ## the tests of the worker
	$(COMPUTES) $(SERVING) -o cache_dir=.pytest_cache/serving

machine: $(INSTALLED) ## the end-to-end tests on one machine
	$(COMPUTES) $(MACHINE) -o cache_dir=.pytest_cache/machine

rest: $(INSTALLED) ## all other tests: units, the SDK, streams that outlive their workers
	$(COMPUTES) $(REST)

# Once: what passes compiled passes as it is written, which `fastchat up` runs in the tests of one machine and the SDK.
gateway: $(INSTALLED) ## the tests of the gateway, compiled as its image has it where there is a C compiler
	@$(CLUSTER) compiler; case $$? in 0) nice -n 5 $(MAKE) --no-print-directory compiled;; \
		77) $(COMPUTES) $(GATEWAY) -o cache_dir=.pytest_cache/gateway;; *) exit 1;; esac

compiled: $(COMPILED)
	PYTHONPATH=$(COMPILED) $(BIN)/pytest $(GATEWAY) -o cache_dir=.pytest_cache/compiled

native: $(INSTALLED) ## compile the worker's own executor for the CPU, where there is a C++ compiler
	@$(BIN)/python images/worker/native/build.py $(NATIVE); code=$$?; test $$code = 77 || exit $$code

e2e: $(INSTALLED) ## the end-to-end tests alone, those in a cluster with their floors beside those on one machine
	@$(BIN)/python .ci/lanes.py e2e-cluster e2e-machine

e2e-cluster: $(INSTALLED)
	FASTCHAT_FLOORS=1 $(BIN)/pytest $(KUBERNETES) --durations=20

e2e-machine: $(INSTALLED)
	nice -n 15 $(MAKE) --no-print-directory machine

fleet: $(INSTALLED) native ## fleets: from zero and back, five minutes of everything that breaks, 500 streams that lose workers
	FASTCHAT_FLOORS=1 FASTCHAT_CHAOS_SECONDS=300 FASTCHAT_STREAMS=500 OMP_NUM_THREADS=1 $(BIN)/pytest $(FLEETS) \
		tests/e2e/kubernetes/test_resuming.py -s

fuzz: $(INSTALLED) ## 100,000 random requests to the gateway's parser; 10,000 splits of what models write, for every parser
	FASTCHAT_FUZZ_CASES=100000 $(BIN)/pytest tests/integration/gateway/server/test_fuzz.py
	@if $(CLUSTER) compiler; then $(MAKE) --no-print-directory $(COMPILED) && \
		FASTCHAT_FUZZ_CASES=100000 PYTHONPATH=$(COMPILED) $(BIN)/pytest tests/integration/gateway/server/test_fuzz.py; fi
	FASTCHAT_FUZZ_SPLITS=10000 FASTCHAT_FUZZ_LONG=65536 OMP_NUM_THREADS=1 $(BIN)/pytest $(SPLITS)

lint: $(INSTALLED) ## ruff, mypy, import contracts, sizes, drift of what is generated, helm lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd tests && ../$(BIN)/lint-imports --config .importlinter
	$(BIN)/python .ci/sizes.py
	$(BIN)/python -m fastchat.v1alpha1.crd | diff - $(CRD)
	diff $(CRD) charts/fastchat/files/modeldeployments.fastchat.io.yaml
	$(BIN)/python -m fastchat.v1alpha1.reference | diff - docs/modeldeployment.md
	$(PAGES) --check
	$(CLUSTER) helm lint --strict charts/fastchat

images: ## build the images with docker, podman or buildah, whichever is there
	@builder="$(BUILDER)"; test -n "$$builder" || { echo "no docker, podman or buildah here to build images with" >&2; exit 1; }; \
	version=$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml); revision=$$(git rev-parse HEAD 2>/dev/null); \
	for part in $(PARTS); do \
		$$builder -f images/$$part/Dockerfile -t fastchat-$$part:dev \
			--label org.opencontainers.image.version=$$version \
			--label org.opencontainers.image.revision=$$revision $(BUILD_ARGS) . || exit 1; \
	done

release: $(INSTALLED) images ## all of a release in dist/: chart, images, their bills of materials, checksums; PARTS="operator gateway"
	$(BIN)/python images/release.py --builder=$(firstword $(BUILDER)) $(PARTS)

gpu: $(INSTALLED) ## what needs a GPU: its tests, then our engine on it beside transformers' and vLLM
	@$(BIN)/python -c 'import sys, torch; torch.cuda.is_available() or sys.exit("torch finds no GPU here, so nothing ran: \
	make gpu is the tests marked gpu, and benchmarks/engine.py --device cuda")'
	$(BIN)/pytest tests/integration/worker -m gpu -o cache_dir=.pytest_cache/gpu
	$(BIN)/python benchmarks/engine.py --device cuda

bench: $(INSTALLED) native ## engine, gateway, operator and SDK against their yardsticks; pictures in build/bench
	$(BIN)/python benchmarks/engine.py --json $(RESULTS)/engine.json
	$(BIN)/python benchmarks/grammar.py
	$(BIN)/python benchmarks/prefixes.py
	$(BIN)/python benchmarks/adapters.py
	$(BIN)/python benchmarks/gateway.py --json $(RESULTS)/gateway.json
	$(BIN)/python benchmarks/streams.py
	$(BIN)/python benchmarks/balance.py
	$(BIN)/python benchmarks/hostile.py
	$(BIN)/python benchmarks/clients/sdk.py --json $(RESULTS)/sdk.json
	$(BIN)/python benchmarks/clients/page.py
	$(BIN)/python benchmarks/reconcile.py
	$(BIN)/python benchmarks/results/plots.py $(addprefix $(RESULTS)/,engine.json gateway.json sdk.json)

cluster: $(INSTALLED) ## bring up a Kubernetes of one node here; KUBECONFIG is printed
	$(CLUSTER) up

cluster-down: $(INSTALLED) ## end it
	$(CLUSTER) down

crds: $(INSTALLED) ## write what is generated from the types: CRD, the chart's copy, its reference
	$(BIN)/python -m fastchat.v1alpha1.crd > $(CRD)
	cp $(CRD) charts/fastchat/files/
	$(BIN)/python -m fastchat.v1alpha1.reference > docs/modeldeployment.md

pages: $(INSTALLED) ## write what is generated of the docs: values, metrics, settings, the chart's README
	$(PAGES)

dashboard: $(INSTALLED) native ## the picture of the dashboard in the docs: three minutes of requests to real workers
	PYTHONPATH=.ci:tests OMP_NUM_THREADS=1 $(BIN)/python -m pages.dashboard docs/images/dashboard.png

docs: $(INSTALLED) ## the site of docs/, in build/docs
	$(BIN)/zensical build --strict --clean

lock: $(BIN)/uv ## resolve the dependencies anew
	$(COMPILE) pyproject.toml --all-extras --group build --upgrade -o requirements/all.lock
	$(LOCK) pyproject.toml --extra operator -o requirements/operator.lock
	$(LOCK) pyproject.toml --extra gateway --extra tracing -o requirements/gateway.lock
	$(LOCK) pyproject.toml --extra compiler -o requirements/compiler.lock
	$(LOCK) pyproject.toml --extra worker --extra tracing -o requirements/worker.lock
	$(LOCK) --group build -o requirements/build.lock

clean: ## remove what make made
	rm -rf $(VENV) .*_cache .cache .hypothesis build dist $(NATIVE)

$(COMPILED): $(INSTALLED) images/gateway/build_hook.py $(wildcard images/gateway/fastchat_gateway/*.py images/gateway/fastchat_gateway/*/*.py \
		images/gateway/fastchat_gateway/web/* images/gateway/fastchat_gateway/web/*/*)
	@$(CLUSTER) compiler
	@rm -rf $@
	FASTCHAT_COMPILE=1 $(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --reinstall --target $@ .
	@touch $@

$(BIN)/uv: requirements/build.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is older than 3.11: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# Compiled at once: a model server imports thousands of files, and its first start is what a newcomer waits for.
$(INSTALLED): $(BIN)/uv requirements/all.lock pyproject.toml
	$(BIN)/uv pip install --python $(BIN)/python --require-hashes --no-deps --compile-bytecode -r requirements/all.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
