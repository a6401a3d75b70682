# Everything that is done with a checkout. `make help` lists it.

# Where `make install` puts the program.
PREFIX ?= /usr/local
# Where it puts the unit: systemd reads /usr/local/lib and /usr/lib, whatever PREFIX is.
UNITDIR ?= $(PREFIX)/lib/systemd/system
# Where `make secrets` puts what docker-compose.yml reads.
SECRETS ?= .secrets
# Arguments for the program that is run: ARGS=--ephemeral with `make dev`, ARGS=--scale with `make bench`.
ARGS ?=

CARGO := .ci/with-rust cargo
BUILT := $(or $(CARGO_TARGET_DIR),target)
VALIDATORS := tests/validators

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help dev test bench install install-files secrets fmt lint clean

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

install: ## Builds, and installs the program, its systemd unit and samples below PREFIX (/usr/local).
	@.ci/setup build
	$(CARGO) build --release --locked
	install -D -m 755 $(BUILT)/release/ephemint $(DESTDIR)$(PREFIX)/bin/ephemint
	@$(MAKE) --no-print-directory install-files

install-files:
	install -d $(DESTDIR)$(UNITDIR)
	sed 's|/usr/local/|$(PREFIX)/|g' docs/systemd/ephemint.service > $(DESTDIR)$(UNITDIR)/ephemint.service
	chmod 644 $(DESTDIR)$(UNITDIR)/ephemint.service
	install -D -m 644 docs/systemd/ephemint.toml $(DESTDIR)$(PREFIX)/share/ephemint/ephemint.toml
	install -D -m 644 gateways/nginx.conf $(DESTDIR)$(PREFIX)/share/ephemint/nginx.conf
	install -D -m 644 sql/roles.sql $(DESTDIR)$(PREFIX)/share/ephemint/roles.sql
	install -D -m 755 sql/roles.sh $(DESTDIR)$(PREFIX)/share/ephemint/roles.sh

secrets: ## Makes the secrets that docker-compose.yml reads, in .secrets; those that are there stay.
	@umask 022 && mkdir -p -m 700 $(SECRETS) && cd $(SECRETS) \
		&& make_once() { [ -s "$$1" ] || { printf '%s\n' "$$2" > "$$1" && echo "made $(SECRETS)/$$1"; }; } \
		&& make_once master_key "$$(openssl rand -base64 32)" \
		&& make_once postgres_password "$$(openssl rand -hex 24)" \
		&& make_once grafana_password "$$(openssl rand -hex 12)" \
		&& make_once database_url "postgresql://ephemint_runtime:$$(openssl rand -hex 24)@postgres/ephemint?sslmode=disable" \
		&& make_once migration_url "postgresql://ephemint_migrate:$$(openssl rand -hex 24)@postgres/ephemint?sslmode=disable"

clean: ## Deletes what was built.
	$(CARGO) clean
	rm -rf $(VALIDATORS)/node_modules

# The libraries that the suite judges tokens and pages with, installed when the list of them has changed. npm brings certificate
# authorities of its own; here it trusts the system's as well.
$(VALIDATORS)/node_modules/.installed: $(VALIDATORS)/package.json
	NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-/etc/ssl/certs/ca-certificates.crt}" \
		npm install --no-package-lock --no-audit --no-fund --prefix $(VALIDATORS)
	@touch $@
