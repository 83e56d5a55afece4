# Baton's commands for developers. They need make, bash, git and the archive of a
# Debian system; what else is missing (Go, a kernel with IPVS, QEMU) is fetched
# into the cache directory ($XDG_CACHE_HOME/baton or ~/.cache/baton).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# dpkg and rpm want a version that begins with a digit.
PACKAGE_VERSION ?= $(shell echo '$(VERSION)' | sed -E '/^v?[0-9]+\./!s/^/0.0.0~/; s/^v//; s/-(rc|alpha|beta)/~\1/; s/-/+/g')
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
DIST ?= dist
PACKAGING ?= internal/packaging/nfpm.yaml
FUZZTIME ?= 10s
BENCH ?= .
BENCHTIME ?= 1s
# Those that make up a tour of some two minutes; baton drill --list has all.
SCENARIOS ?= link-down stop failover kill recover real-server prober-kill
# An emulated machine's time: the host's, or instructions (CONTRIBUTING.md), which takes
# longer: BENCH_TIMEOUT=1h for a part of BenchmarkChecks.
BENCH_CLOCK ?= host
BENCH_TIMEOUT ?= 30m
SIM_SEED ?= 1
SIM_DAYS ?= 10000
SIM_FOR ?= 0

# The go command that go.mod asks for, looked for only when a recipe needs it.
GO = $(eval GO := $$(shell .ci/go.sh))$(if $(GO),$(GO),$(error no Go toolchain: see above))
go = PATH="$(patsubst %/,%,$(dir $(GO))):$$PATH" GOTOOLCHAIN=local go
testsum = $(go) run ./internal/testsum
# The end-to-end tests boot a machine of their own; `make test` runs them.
units = $$($(go) list ./... | grep -v '/integration$$')

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## build bin/baton, static
	@mkdir -p bin
	CGO_ENABLED=0 $(go) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/baton ./cmd/baton

.PHONY: packages
packages: build ## dist/*.deb and dist/*.rpm: binary, units, configuration, manual pages, completions
	@rm -rf $(DIST) && mkdir -p $(DIST)/completion && cp bin/baton $(DIST)/baton
	@bin/baton man $(DIST)/man >/dev/null && gzip -9n $(DIST)/man/*
	@for shell in bash zsh fish; do bin/baton completion $$shell >$(DIST)/completion/$$shell; done
	@for kind in deb rpm; do DIST=$(DIST) PACKAGE_VERSION=$(PACKAGE_VERSION) ARCH=$(shell $(go) env GOARCH) SOURCE_DATE_EPOCH=$(SOURCE_DATE_EPOCH) \
		$(go) tool -modfile=internal/tools/nfpm.mod nfpm package -f $(PACKAGING) -p $$kind -t $(DIST)/; done

.PHONY: vmrun
vmrun:
	@mkdir -p bin
	@CGO_ENABLED=0 $(go) build -o bin/vmrun ./integration/vm/vmrun

.PHONY: setup
setup: vmrun ## fetch what is missing: Go, a C compiler, the kernel and its tools
	@.ci/go.sh cc
	@$(go) mod download
	@$(go) mod download -modfile=internal/tools/go.mod
	@$(go) mod download -modfile=internal/tools/nfpm.mod
	@PATH="$(patsubst %/,%,$(dir $(GO))):$$PATH" bin/vmrun -fetch

.PHONY: check
check: fmt vet lint unit ## everything that needs no kernel: format, vet, lint, unit tests with the race detector

.PHONY: fmt
fmt:
	@out=$$(find . -name '*.go' -not -path './.cache/*' -print0 | PATH="$(patsubst %/,%,$(dir $(GO))):$$PATH" xargs -0 gofmt -l); \
	if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi

# No file is left out by the tag, and the unit tests build without it.
.PHONY: vet
vet:
	$(go) vet -tags kernel ./...

.PHONY: lint
lint: ## staticcheck
	$(go) tool -modfile=internal/tools/go.mod staticcheck -tags kernel ./...

.PHONY: unit
unit:
	@.ci/go.sh cc
	$(go) test -race -vet=off -timeout 5m -json $(units) | $(testsum) -stage unit

.PHONY: corpora
corpora:
	$(go) test -count=1 -vet=off -json -run '^Fuzz' $(units) | $(testsum) -stage corpora

.PHONY: test
test: vmrun ## unit, kernel and end-to-end tests, the latter two on a kernel with IPVS
	@.ci/test.sh

.PHONY: demo
demo: build vmrun ## build the lab, cut the master off, measure the gap
	PATH="$(patsubst %/,%,$(dir $(GO))):$$PATH" bin/vmrun -bin bin/baton -- baton drill --up $(SCENARIOS)

.PHONY: bench
bench: ## benchmarks, takeovers beside keepalived's included; BENCH=pattern BENCHTIME=1s
	$(go) test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(units)
	BATON_VM_CLOCK=$(BENCH_CLOCK) $(go) test -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout $(BENCH_TIMEOUT) ./integration

.PHONY: sim
sim: ## simulated clusters of directors; SIM_DAYS=10000 SIM_SEED=1 SIM_FOR=10m, one seed: SIM_DAYS=0
	@mkdir -p bin
	@$(go) build -o bin/sim ./vrrp/sim/cmd
	@bin/sim -seed $(SIM_SEED) -days $(SIM_DAYS) -for $(SIM_FOR) $(if $(filter 0,$(SIM_DAYS)),-v)

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME=10s
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file func; do \
		echo "== $${file%/*} $${func#func }"; \
		$(go) test -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) "$${file%/*}" </dev/null; \
	done

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist .cache/results.json
