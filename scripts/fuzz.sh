#!/usr/bin/env bash
# Runs one fuzz target, or each in turn: TARGET=x (all) MINUTES=n (10). What it finds is left in fuzz/artifacts/TARGET.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
minutes=${MINUTES:-10}

if ! command -v cargo-fuzz >/dev/null; then
  echo "cargo-fuzz is missing: cargo install cargo-fuzz" >&2
  exit 1
fi
# The address sanitizer is a switch that only a nightly compiler takes without being asked twice. One compiler for all:
export RUSTC_BOOTSTRAP=1

targets=${TARGET:-$(cargo fuzz list)}
for target in $targets; do
  printf '\n== %s, %s minutes\n' "$target" "$minutes"
  mkdir -p "fuzz/corpus/$target"
  # A length that is not true must not take the memory for it, and nothing may be slow.
  cargo fuzz run "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time=$((minutes * 60)) -max_len=1024 -timeout=60 -malloc_limit_mb=256 -print_final_stats=1
done
