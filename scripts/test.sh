#!/usr/bin/env bash
# Every check and every test: format, lints, documentation, then all tests with a real broker.
#
# The broker in MILLSTREAM_TEST_BOOTSTRAP is used if there is one, else one is started and stopped (scripts/with-kafka.sh).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
step() { printf '\n== %s\n' "$*"; }

step "format"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check

step "lints"
cargo clippy --workspace --all-targets --locked -- -D warnings
cargo clippy --manifest-path fuzz/Cargo.toml --no-default-features --lib --test random_bytes --locked -- -D warnings

step "documentation"
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

step "tests"
# The same inputs each time: what a change breaks is found by the change. New inputs are for those who look for them.
export PROPTEST_RNG_SEED=${PROPTEST_RNG_SEED:-20261126}
# Compiled before the broker starts, so that it does not wait for the compiler. The programs are built as well: tests
# that kill processes need them. So is the application on Kafka Streams.
cargo build --workspace --bins --locked
scripts/kafka-streams.sh >/dev/null
cargo test --workspace --no-run --locked
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# All tests run, also after one that fails. Its status counts, not that of tee.
status=0
scripts/with-kafka.sh cargo test --workspace --locked --no-fail-fast 2>&1 | tee "$log" || status=$?
# What the fuzzer checks, on the seeds and on random bytes that are the same each time; a workspace of its own.
cargo test --manifest-path fuzz/Cargo.toml --no-default-features --locked 2>&1 | tee -a "$log" || status=$?

# cargo test closes each test program with a line of its own; this one adds them up.
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
  END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, ignored }' "$log"
exit "$status"
