# SPDX-License-Identifier: Apache-2.0
#
# The two commands of the README are `make demo` and `make test`. Both install
# what is missing first and say why (scripts/install-deps.sh).

VERSION  := 0.1.0
TAGS     := migrated_fynedo,sqlite_omit_load_extension
NOGUI    := $(TAGS),nogui
GO       := go
LDFLAGS  := -X main.version=$(VERSION)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@latest

# One set of flags everywhere, so that the build cache hits.
export GOFLAGS     := -buildvcs=false -tags=$(TAGS)
export GOTOOLCHAIN := local
export CGO_ENABLED := 1

.PHONY: all demo build station stationctl ledger-verify ledger-verify-all firmware test lint test-c test-go fuzz fuzz-fixed screenshots bench bench-large bench-tools bench-test vulncheck clean

all: build

demo: deps-demo build
	bin/station demo

build: station stationctl ledger-verify

# go build decides what is stale; make only names the files.
station: deps-build
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/station ./cmd/station

stationctl: deps-build
	$(GO) build -tags=$(NOGUI) -ldflags '$(LDFLAGS)' -o bin/stationctl ./cmd/station

# The auditor's program, without cgo: for this machine, and with `make
# ledger-verify-all` for those that QA has.
ledger-verify: deps-build
	CGO_ENABLED=0 $(GO) build -ldflags '$(LDFLAGS)' -o bin/ledger-verify ./cmd/ledger-verify

ledger-verify-all: deps-build
	set -e; for at in linux/amd64 linux/arm64 windows/amd64 darwin/amd64 darwin/arm64; do \
	  case $$at in windows/*) suffix=.exe ;; *) suffix= ;; esac; \
	  CGO_ENABLED=0 GOOS=$${at%/*} GOARCH=$${at#*/} $(GO) build -ldflags '-s -w $(LDFLAGS)' \
	    -o bin/ledger-verify-$${at%/*}-$${at#*/}$$suffix ./cmd/ledger-verify; \
	done

firmware:
	$(MAKE) -C firmware all mps2

deps-%:
	@scripts/install-deps.sh $*

test: deps-test lint build ledger-verify-all firmware test-c fuzz-fixed test-go

lint:
	$(GO) vet ./... ./.ci/testsum
	$(GO) vet -tags=$(NOGUI) ./cmd/...
	$(GO) run $(STATICCHECK) ./... ./.ci/testsum
	@files=$$($(GO) run $(GOFUMPT) -l cmd internal ui assets firmware bench .ci); \
	if [ -n "$$files" ]; then echo "gofumpt would change:"; echo "$$files"; exit 1; fi

test-c:
	$(MAKE) -C firmware test

# Every skip fails, but for the reasons in .ci/skips.txt. The limit is for a test
# that hangs on the slowest machine; none comes near it.
TESTFLAGS = -json -timeout=60m $(if $(CI),-count=1)
test-go:
	CGO_ENABLED=0 $(GO) build ./internal/audit ./internal/record ./internal/attest
	$(GO) test ./.ci/testsum
	{ $(GO) test $(TESTFLAGS) -race ./internal/... ./ui/... || true; \
	  $(GO) test $(TESTFLAGS) ./cmd/... ./firmware/... || true; \
	  (cd bench && $(GO) test $(TESTFLAGS) ./second) || true; \
	} | $(GO) run ./.ci/testsum -skips .ci/skips.txt

# Every fuzz target, in Go and in C, for its executions in docs/fuzzing.md.
fuzz-fixed: deps-test
	$(MAKE) -C firmware fuzz
	scripts/fuzz.sh --fixed

# Those in Go for FUZZTIME each, 20s.
fuzz:
	scripts/fuzz.sh

# Every screen drawn without a display, and the real window on a display
# without a screen; the pictures of README and docs among them.
screenshots: deps-test firmware
	mkdir -p artifacts
	$(GO) test ./ui -count=1 -run TestScreens -args -screens $(CURDIR)/artifacts
	$(GO) test ./cmd/station -count=1 -run TestWindow -args -artifacts $(CURDIR)/artifacts
	for theme in light dark; do \
	  cp artifacts/line-mixed-$$theme.png docs/line-$$theme.png; \
	  cp artifacts/line-idle-$$theme.png docs/line-idle-$$theme.png; \
	  cp artifacts/line-running-$$theme.png docs/line-running-$$theme.png; \
	done
	for name in unit-overview correct signoff; do cp artifacts/qa-$$name-light.png docs/qa-$$name.png; done
	cp artifacts/plot-yield-light.png docs/qa-plots.png
	cp artifacts/export-light.png docs/qa-export.png

# Figures against limits and peers, into docs/benchmarks.md. The peers'
# dependencies stay in a module of their own. P5 to P8 and P13 are measured with a
# ledger of BENCH_ENTRIES entries, or several; it is made once (5 min a million), and
# stays in station-bench of the user's cache (2.5 GB a million).
BENCH_ENTRIES ?= 1000000
bench: deps-bench stationctl firmware bench-tools
	bin/bench -entries $(BENCH_ENTRIES) -out docs/benchmarks.md

# With ten million entries besides: 45 GB of disk, and hours.
bench-large:
	$(MAKE) bench BENCH_ENTRIES=1000000,10000000

bench-tools:
	cd bench && $(GO) build -o ../bin/ . ./cmd/...

bench-test:
	cd bench && $(GO) vet ./... && $(GO) run $(STATICCHECK) ./... && $(GO) test ./...
	@files=$$($(GO) run $(GOFUMPT) -l bench); \
	if [ -n "$$files" ]; then echo "gofumpt would change:"; echo "$$files"; exit 1; fi

# Needs the vulnerability database, which air-gapped builders cannot reach.
vulncheck:
	$(GO) run $(GOVULNCHECK) ./...

clean:
	rm -rf bin artifacts firmware/build
