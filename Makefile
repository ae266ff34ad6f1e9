# Entry points for people; the tests and checks themselves live in Cargo.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build
.PHONY: check-prerequisites build test demo bench drill red fmt lint

# names what this machine lacks, with the line that installs it
check-prerequisites:
	@scripts/prerequisites

# the binaries, and the plugin as a shared library beside them
build: check-prerequisites
	cargo build --workspace --locked

# formatting, lints, then every test; REQUIRE_BROKER=1 fails where the real Kafka cannot run
# The build comes before the tests because they start the binaries and load the plugin, which `cargo test` alone
# leaves where it last put them.
test:
	@begin=$$(date +%s); \
	trap 'status=$$?; took=$$(( $$(date +%s) - begin )); \
	      if [ $$status -eq 0 ]; then verdict=passed; else verdict=FAILED; fi; \
	      echo "make test: $$verdict after $$((took / 60)) min $$((took % 60)) s"; exit $$status' EXIT; \
	scripts/prerequisites; \
	cargo fmt --all --check; \
	cargo clippy --workspace --all-targets --locked -- -D warnings; \
	cargo build --workspace --locked; \
	mkdir -p target; \
	cargo test --workspace --locked --no-fail-fast 2>&1 | tee target/test.log && tested=0 || tested=$$?; \
	awk '/^test result:/ {passed += $$4; failed += $$6} END {printf "tests: %d passed, %d failed\n", passed, failed}' \
	    target/test.log; \
	exit $$tested

# simulator, plugin, adapter and mock cluster together, ends with a proof of the counts; SINK=webhook for requests,
# TRANSPORT=events for the tutorial's protocol
demo: check-prerequisites
	@SINK='$(or $(SINK),kafka)' TRANSPORT='$(or $(TRANSPORT),notifications)' scripts/demo

# one table of ratios from one run
bench: check-prerequisites
	cargo build --release --workspace --locked
	$${CARGO_TARGET_DIR:-target}/release/bench

# every drill in full size: kills, outages, nodes of a cluster lost, full disks, a process that stands still, minutes of each, half an hour of channels with faults; DRILL_SEED repeats the instants of kills and faults
drill: check-prerequisites
	cargo build --workspace --locked
	DRILLS=full REQUIRE_BROKER=1 cargo test -p integration-tests --locked --no-fail-fast --test kill --test drills --test cluster

# applies each patch of tests/red to a copy of the tree and demands that its test fails
red: check-prerequisites
	@scripts/red

fmt:
	cargo fmt --all

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
