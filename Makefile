# Everything that is done with a checkout. `make help` lists it.

# Where `make install` puts the program.
PREFIX ?= /usr/local
# Arguments for the program that is run: ARGS=--ephemeral with `make dev`, ARGS=--scale with `make bench`.
ARGS ?=

CARGO := .ci/with-rust cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)
VALIDATORS := tests/validators

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help dev test bench install fmt lint clean

help: ## Lists what can be made.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: ## Installs what is missing, builds, and runs Ephemint with a Postgres and a demo of its own.
	@.ci/setup dev
	$(CARGO) build --release --locked
	@$(BUILT)/release/ephemint dev $(ARGS)

test: ## Installs what is missing, then checks formatting, lints and docs and runs the whole suite.
	@.ci/setup test
	@$(MAKE) --no-print-directory lint $(VALIDATORS)/node_modules/.installed
	$(CARGO) test --locked --all-targets

bench: ## Measures the exchange beside what it is compared with: some 5 minutes, on a machine that does nothing else.
	@.ci/setup bench
	$(CARGO) bench --locked --bench exchange -- $(ARGS)

lint: ## Checks formatting, lints and docs.
	$(CARGO) fmt --check
	$(CARGO) fmt --check --manifest-path fuzz/Cargo.toml
	$(CARGO) clippy --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --locked

fmt: ## Formats the source text.
	$(CARGO) fmt
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml

install: ## Builds, and installs the program below PREFIX (/usr/local).
	@.ci/setup build
	$(CARGO) build --release --locked
	install -D -m 755 $(BUILT)/release/ephemint $(DESTDIR)$(PREFIX)/bin/ephemint

clean: ## Deletes what was built.
	$(CARGO) clean
	rm -rf $(VALIDATORS)/node_modules

# The libraries that the suite judges tokens and pages with, installed when the list of them has changed. npm brings certificate
# authorities of its own; here it trusts the system's as well.
$(VALIDATORS)/node_modules/.installed: $(VALIDATORS)/package.json
	NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" \
		npm install --no-package-lock --no-audit --no-fund --prefix $(VALIDATORS)
	@touch $@
