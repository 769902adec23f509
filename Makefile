# `make` alone prints what there is. Everything is built with --release: one profile, because
# RocksDB takes ten minutes to compile and must be compiled once.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

ENGINE ?= memory
NODES ?= 3
PORT ?= 6401
DIR ?= .data/local
BENCH_ARGS ?=

TARGET := $(or $(CARGO_TARGET_DIR),target)
# With no engine but the one that is asked for: RocksDB is most of the compile time.
NODE := -p node --no-default-features --bin lockstep $(if $(filter-out memory,$(ENGINE)),--features $(ENGINE))
# Every feature: RocksDB, and the conformance suites that crates export.
ALL := --release --locked --workspace --all-features
# Without engines on disk.
LEAN := --release --locked --workspace --no-default-features
# What is tested, and on which engines clusters run in tests: all of it, unless ENGINE says otherwise.
ifeq ($(origin ENGINE),file)
TESTED := $(ALL)
TEST_ENGINES := memory rocksdb fjall
else
TESTED := $(LEAN) $(if $(filter-out memory,$(ENGINE)),--features node/$(ENGINE))
TEST_ENGINES := $(ENGINE)
endif

.PHONY: help
help: ## Print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "Variables of run: ENGINE=$(ENGINE) NODES=$(NODES) PORT=$(PORT) DIR=$(DIR); of bench: BENCH_ARGS=--help"

.PHONY: setup setup-test
setup: ## Install what is missing: Debian packages, a Python for the client tests
	@.ci/setup
setup-test:
	@.ci/setup test

.PHONY: run build
run: cargo ## Build and start a cluster of three nodes on this machine: clients on 6401 to 6403
	cargo run --release --locked $(NODE) -- local --nodes $(NODES) --port $(PORT) --engine $(ENGINE) --dir $(DIR)
build: cargo ## Build what run runs: target/release/lockstep
	cargo build --release --locked $(NODE)

.PHONY: simulate
simulate: cargo ## Simulate clusters: MINUTES=1, or one SEED=… with a line per event (HTML=file, SHRINK=1, FROM=s)
	@LOCKSTEP_COMMIT=$$(git rev-parse --short HEAD 2>/dev/null || echo none) cargo build --quiet --release --locked -p simulation --bin simulate
	@$(TARGET)/release/simulate $(if $(SEED),--seed $(SEED) --from $(or $(FROM),0) $(if $(HTML),--html $(HTML)) $(if $(SHRINK),--shrink),--minutes $(or $(MINUTES),1))

.PHONY: fuzz
TARGETS ?= requests peer_frames log_records snapshots configuration
fuzz: cargo ## Feed made-up bytes to everything that reads bytes, a minute each: SECONDS=60 TARGETS="requests …"
	@fuzz/run $(or $(SECONDS),60) $(TARGETS)

.PHONY: sabotage
sabotage: cargo ## Plant each of the classic bugs in a copy: the simulation must find all, or those of a QUARTER
	@simulation/sabotage/run $(if $(QUARTER),--quarter $(QUARTER))

.PHONY: test
test: cargo setup-test ## Run every test: examples in docs, then all others, clusters on every engine; ENGINE=memory leaves RocksDB out
	@case "$(TEST_ENGINES)" in *rocksdb*) \
	    ls $(TARGET)/release/build/librocksdb-sys-*/out/librocksdb.a >/dev/null 2>&1 || \
	    echo "RocksDB is compiled first, once: ten minutes on four cores, half an hour on two; make test ENGINE=memory leaves it out";; \
	esac
	cargo test --doc $(TESTED)
	@if command -v cargo-nextest >/dev/null; then \
	    for engine in $(wordlist 2,9,$(TEST_ENGINES)); do \
	        (set -x; TEST_ENGINE=$$engine cargo nextest run $(TESTED) -E 'binary(cluster)'); \
	    done; \
	    set -x; TEST_ENGINE=$(firstword $(TEST_ENGINES)) cargo nextest run $(TESTED); \
	else \
	    echo "cargo-nextest is missing, so cargo test runs the tests: one crate after the other"; \
	    for engine in $(wordlist 2,9,$(TEST_ENGINES)); do \
	        (set -x; TEST_ENGINE=$$engine cargo test $(TESTED) -p node --test cluster); \
	    done; \
	    set -x; TEST_ENGINE=$(firstword $(TEST_ENGINES)) cargo test --lib --bins --tests $(TESTED); \
	fi

.PHONY: verify
verify: cargo ## Check format, lints, docs and dependencies; writes nothing
	cargo fmt --all --check
	cargo clippy $(ALL) --all-targets -- -D warnings
	cargo clippy $(LEAN) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps $(ALL)
	@if command -v cargo-deny >/dev/null; then set -x; cargo deny --locked check; fi

.PHONY: fix
fix: cargo ## Mend what verify finds, as far as tools can
	cargo clippy --fix --allow-dirty --allow-staged $(ALL) --all-targets
	cargo fmt --all

.PHONY: docs
docs: cargo ## Build the crates' documentation: target/doc
	cargo doc --no-deps $(ALL)
	@echo "$(TARGET)/doc/consensus/index.html, and so on"

.PHONY: bench
bench: build ## Measure against etcd and Redis, those that are installed, and print the table
	cargo run --release --locked --manifest-path bench/Cargo.toml -- --lockstep $(abspath $(TARGET))/release/lockstep --engine $(ENGINE) $(BENCH_ARGS)

.PHONY: clean
clean: cargo ## Remove what was built; data stays
	cargo clean
	rm -rf bench/target

.PHONY: cargo
cargo:
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs" >&2; exit 1; }
	@command -v cc >/dev/null || { echo "a C compiler is missing: make setup installs one" >&2; exit 1; }
