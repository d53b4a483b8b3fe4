# fakesshd. `make help` lists the targets.
GO       ?= go
GOFLAGS  ?= -buildvcs=false
CACHE    := $(CURDIR)/.cache
LINTER   := $(CACHE)/golangci-lint
LINT_VER := v2.15.0
FUZZTIME ?= 15s
export GOFLAGS

.DEFAULT_GOAL := help
.PHONY: build images run test unit integration bench lint fuzz clean help setup

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: images ## bin/fakesshd, with the shipped program for every platform inside
	$(GO) build -trimpath -ldflags='-s -w' -o bin/fakesshd ./cmd/fakesshd

images: ## the shipped program, cross-built and compressed
	@sh bootstrap/images/build.sh

run: build ## a gateway on 127.0.0.1:2222 with a demo tree, and lines to paste
	@sh examples/demo/run.sh

setup: ## what the tests need; as root installs it from Debian
	@sh integration/setup.sh

test: setup build ## everything: unit tests with the race detector, some without (it makes other system calls), then the real programs
	$(GO) test -race -timeout 15m $$($(GO) list ./... | grep -v /integration)
	$(GO) test -timeout 5m ./router ./bootstrap/agent/... ./methods
	$(GO) test -count=1 -timeout 25m ./integration/...

unit: ## only the fast tests, nothing but Go needed
	$(GO) test -race -short ./...

integration: setup build ## only the tests against real programs
	$(GO) test -count=1 -timeout 25m ./integration/...

bench: setup build ## ratios against OpenSSH, side by side, as a table
	$(GO) run ./integration/bench

lint: $(LINTER) ## vet, format and the linters, which also hold the arrows between the rooms
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these'; exit 1; }
	$(GO) vet ./...
	$(LINTER) run ./...

$(LINTER): Makefile
	GOBIN=$(CACHE) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)

fuzz: ## every fuzz target for FUZZTIME each
	@$(GO) list ./... | while read -r p; do \
	  for f in $$($(GO) test -list '^Fuzz' "$$p" 2>/dev/null | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) "$$p" || exit 1; done; done

clean: ## what the build made
	rm -rf bin .cache bootstrap/images/*.gz bootstrap/images/fakessh-index
